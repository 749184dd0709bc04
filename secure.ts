import type { Security } from "@devts/node";
import { AuthenticationError, type Protocol } from "@devts/protocol";
import {
  Belief,
  type Believed,
  type Identity,
  nodeIdOf,
  parseKey,
} from "@devts/protocol/identity";
import { Keyring } from "@devts/protocol/keyring";
import type { Secret } from "@devts/protocol/secret";
import { v1 } from "@devts/protocol/v1";
import {
  type Certificates,
  ConnectionError,
  type Credentials,
  isSecurable,
  serverName,
  type StallLimits,
  type Transport,
  wrapTransport,
} from "@devts/transport";

/** The identity of a node, and the certificate of its key by an authority. */
export interface NodeIdentity extends Identity {
  /** As PEM; none: its key is believed by itself. */
  readonly certificate?: string;
}

/** Loads what makes certificates: only whoever needs some has it. */
export type CertificateMaker = () => Promise<
  typeof import("@devts/transport/certificates")
>;

/** What a node is protected by. */
export interface ProtectionOptions {
  readonly cluster: string;
  readonly id: string;
  readonly secret?: Secret | readonly Secret[];
  readonly identity?: NodeIdentity;
  readonly trust?: Believed;
  readonly plaintext?: boolean;
}

/** The parts of a node that protect it. */
export interface Protection {
  readonly transport: Transport;
  readonly protocol: Protocol;
  readonly security: Security;
}

/** Schemes that are encrypted by certificates of the web. */
const WEB = ["wss"];

/**
 * The parts of a node that knows a secret, has a key of its own, or both. What they are
 * made with is loaded with the first connection.
 *
 * @throws {TypeError} If a secret or a key is malformed.
 */
export function protect(
  options: ProtectionOptions,
  transport: Transport,
  certificates: CertificateMaker | null,
): Protection {
  const { secret, identity, trust, plaintext = false } = options;
  const keyring = secret === undefined ? null : new Keyring(secret);
  const belief = trust === undefined ? null : new Belief(trust);
  const isCovered = certificates !== null && isSecurable(transport) &&
    !plaintext;
  const credentials = new LazyCredentials(() =>
    credentialsOf(options, keyring, certificates)
  );
  const watch: { refused?: (reason: unknown) => void } = {};
  credentials.refused = (reason) => watch.refused?.(reason);
  return {
    transport: isCovered ? explained(transport.secure(credentials)) : transport,
    protocol: lazyProtocol(async () => {
      const { trusted } = await import("@devts/protocol/trusted");
      return trusted({
        ...(keyring && { keyring }),
        ...(identity && { identity }),
        ...(belief && { belief }),
        now: Date.now,
      });
    }),
    security: {
      encrypted: [...isCovered ? transport.securable : [], ...WEB],
      plaintext,
      exact: identity !== undefined && belief !== null,
      keyring,
      ...(belief && { revoke: (id: string) => belief.revoke(id) }),
      onRefused: (callback) => {
        watch.refused = callback;
      },
      boundStalls: (limits) => {
        credentials.stalls = limits;
      },
    },
  };
}

/** Version 1 of the protocol, whose handshake is loaded when it is needed. */
function lazyProtocol(load: () => Promise<Protocol>): Protocol {
  let loaded: Promise<Protocol> | undefined;
  return {
    ...v1(),
    introduce: async (channel, options) => {
      loaded ??= load();
      return await (await loaded).introduce(channel, options);
    },
  };
}

/** Credentials whose certificates are made when they are needed. */
async function credentialsOf(
  { cluster, id, identity, trust }: ProtectionOptions,
  keyring: Keyring | null,
  certificates: CertificateMaker | null,
): Promise<Credentials> {
  if (certificates === null) throw new TypeError("it makes no certificates");
  const { keyCredentials, secretCredentials } = await certificates();
  if (identity !== undefined && trust !== undefined) {
    return keyCredentials({
      ...{ id, keys: identity.keys, ...await believedOf(trust) },
      ...(identity.certificate && { certificate: identity.certificate }),
    });
  }
  if (keyring === null) {
    throw new TypeError(
      "a node that knows no secret and believes no keys can dial wss:// alone",
    );
  }
  return secretCredentials({
    ...{ id, cluster },
    onChange: (callback) => keyring.onChange(callback),
    secrets: async () =>
      (await keyring.secretKeys()).map(({ secret }) => secret),
  });
}

async function believedOf({ keys = [], authorities = [] }: Believed) {
  const members = keys.filter((key) => typeof key === "string");
  return {
    believed: await Promise.all(members.map(async (text) => {
      const key = parseKey(text);
      return { id: await nodeIdOf(key), key };
    })),
    authorities: authorities.map(parseKey),
  };
}

class LazyCredentials implements Credentials {
  refused: (reason: unknown) => void = () => {};
  stalls: StallLimits = {};
  readonly #load: () => Promise<Credentials>;
  #loaded: Promise<Credentials> | undefined;

  constructor(load: () => Promise<Credentials>) {
    this.#load = load;
  }

  async current(): Promise<Certificates> {
    return await (await this.#credentials).current();
  }

  serverName(id?: string): string {
    return serverName(id);
  }

  onChange(callback: () => unknown): Disposable {
    let changes: Disposable | undefined;
    let isDisposed = false;
    this.#credentials.then((credentials) => {
      if (!isDisposed) changes = credentials.onChange(callback);
    }, () => {}); // `current` says so
    return {
      [Symbol.dispose]() {
        isDisposed = true;
        changes?.[Symbol.dispose]();
      },
    };
  }

  get #credentials(): Promise<Credentials> {
    return this.#loaded ??= this.#load();
  }
}

/** Says of a dial that failed on a certificate what an operator can do about it. */
function explained(transport: Transport): Transport {
  return wrapTransport(transport, {
    connect: async (address, options) => {
      try {
        return await transport.connect(address, options);
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        const why = explanationOf(error.message);
        if (why === null) throw error;
        const what = `Cannot connect to "${address}": `;
        const { message, cause } = error;
        const detail = message.replace(what, "");
        throw new ConnectionError(
          `${what}${why}`,
          { cause: new AuthenticationError(detail, { cause }) },
        );
      }
    },
  });
}

function explanationOf(message: string): string | null {
  if (!message.includes("invalid peer certificate")) return null;
  if (/not valid for name/i.test(message)) {
    return "another node answers there than the one that was dialled";
  }
  if (/expired|not valid (?:yet|before)/i.test(message)) {
    return "its certificate has expired or does not hold yet; compare the clocks";
  }
  return "it has another secret than this node, or belongs to another cluster, " +
    "or its key is not believed";
}
