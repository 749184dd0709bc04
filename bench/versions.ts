import { ROOT } from "../tools/members.ts";
import { Values } from "./values.ts";

/** Versions by what they are of. */
export type Versions = Readonly<Record<string, string>>;

/** What everything runs on. */
export async function platform(): Promise<Versions> {
  const processors = await Deno.readTextFile("/proc/cpuinfo");
  const [, model = "unknown"] = /^model name\s*: (.*)$/m.exec(processors) ?? [];
  return {
    Deno: Deno.version.deno,
    V8: Deno.version.v8,
    Linux: Deno.osRelease(),
    processors: `${navigator.hardwareConcurrency} × ${model.trim()}`,
  };
}

/** The project's own version. */
export async function own(): Promise<Versions> {
  return { devts: (await config()).text("version") };
}

/** The version of the codec. */
export async function codec(): Promise<Versions> {
  const specifier = (await config()).values("imports").text("msgpackr");
  return { msgpackr: specifier.slice(specifier.lastIndexOf("@") + 1) };
}

async function config(): Promise<Values> {
  const text = await Deno.readTextFile(new URL("deno.json", ROOT));
  return new Values("deno.json", JSON.parse(text));
}
