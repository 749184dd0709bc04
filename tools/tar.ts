const BLOCK = 512;
const decoder = new TextDecoder();

/**
 * Reads the regular files of a tar archive (POSIX ustar), which is all that
 * `deno publish` writes.
 *
 * @returns The contents by path, each a view of `archive`.
 * @throws {SyntaxError} If the archive is cut short or has a malformed size.
 */
export function readTar(archive: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let at = 0;
  while (at + BLOCK <= archive.length && archive[at] !== 0) {
    const header = archive.subarray(at, at + BLOCK);
    const size = Number.parseInt(text(header, 124, 12), 8);
    const start = at + BLOCK;
    if (!(size >= 0 && start + size <= archive.length)) {
      throw new SyntaxError(
        `Cannot read the archive: malformed entry at byte ${at}`,
      );
    }
    const prefix = text(header, 345, 155);
    const path = text(header, 0, 100);
    const type = text(header, 156, 1);
    if (type === "0" || type === "") {
      files.set(
        prefix === "" ? path : `${prefix}/${path}`,
        archive.subarray(start, start + size),
      );
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

function text(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return decoder.decode(end === -1 ? field : field.subarray(0, end));
}
