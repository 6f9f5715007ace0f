// A member of an MLS group by ts-mls, for tests/interop and benchmarks/mls.py.
//
// One JSON request a line, {"op": NAME, "client": NAME, ...}, one JSON answer. Byte strings are hex.
// Operations: key_package, create, add, join, process, update, remove, encrypt, decrypt,
// authenticator, propose_update, commit. Each answer holds "us", the microseconds that ts-mls took.

import * as readline from "node:readline";
import { readFileSync } from "node:fs";
import * as mls from "ts-mls";

const manifest = new URL("node_modules/ts-mls/package.json", import.meta.url);
const version = JSON.parse(readFileSync(manifest)).version;
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const raw = (text) => new Uint8Array(Buffer.from(text, "hex"));
const decode = (text) => mls.decodeMlsMessage(raw(text), 0)[0];

const clients = new Map();
let suite;

// Parlour lives by lifetimes of 90 days; ts-mls's default has no end.
const lifetime = () => {
  const now = BigInt(Math.floor(Date.now() / 1000));
  return { notBefore: now - 3600n, notAfter: now + 80n * 86400n };
};

const config = {
  keyRetentionConfig: mls.defaultKeyRetentionConfig,
  lifetimeConfig: mls.defaultLifetimeConfig,
  keyPackageEqualityConfig: mls.defaultKeyPackageEqualityConfig,
  paddingConfig: { kind: "padUntilLength", padUntilLength: 0 },
  authService: mls.defaultAuthenticationService,
};

async function commitWith(client, extraProposals) {
  const made = await mls.createCommit(
    { state: client.state, cipherSuite: suite },
    { wireAsPublicMessage: client.public, extraProposals, ratchetTreeExtension: true },
  );
  client.pending = made.newState;
  return {
    commit: hex(mls.encodeMlsMessage(made.commit)),
    welcome: made.welcome
      ? hex(
          mls.encodeMlsMessage({
            version: "mls10",
            wireformat: "mls_welcome",
            welcome: made.welcome,
          }),
        )
      : null,
  };
}

const operations = {
  async suite({ name }) {
    suite = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(name));
    return { version };
  },
  async key_package({ client }) {
    const made = await mls.generateKeyPackage(
      { credentialType: "basic", identity: new TextEncoder().encode(client) },
      mls.defaultCapabilities(),
      lifetime(),
      [],
      suite,
    );
    clients.set(client, { own: made, public: true });
    return {
      key_package: hex(
        mls.encodeMlsMessage({
          version: "mls10",
          wireformat: "mls_key_package",
          keyPackage: made.publicPackage,
        }),
      ),
    };
  },
  async create({ client, group }) {
    const who = clients.get(client);
    who.state = await mls.createGroup(
      raw(group),
      who.own.publicPackage,
      who.own.privatePackage,
      [],
      suite,
      config,
    );
    return {};
  },
  async add({ client, key_packages }) {
    return commitWith(
      clients.get(client),
      key_packages.map((text) => ({
        proposalType: "add",
        add: { keyPackage: decode(text).keyPackage },
      })),
    );
  },
  async join({ client, welcome }) {
    const who = clients.get(client);
    who.state = await mls.joinGroup(
      decode(welcome).welcome,
      who.own.publicPackage,
      who.own.privatePackage,
      mls.emptyPskIndex,
      suite,
      undefined,
      undefined,
      config,
    );
    return {};
  },
  async update({ client }) {
    return commitWith(clients.get(client), []);
  },
  async remove({ client, leaf }) {
    return commitWith(clients.get(client), [{ proposalType: "remove", remove: { removed: leaf } }]);
  },
  async commit({ client }) {
    return commitWith(clients.get(client), []);
  },
  async merge({ client }) {
    const who = clients.get(client);
    who.state = who.pending;
    return {};
  },
  async propose_remove({ client, leaf }) {
    const who = clients.get(client);
    const made = await mls.createProposal(
      who.state,
      who.public,
      { proposalType: "remove", remove: { removed: leaf } },
      suite,
    );
    who.state = made.newState;
    return { message: hex(mls.encodeMlsMessage(made.message)) };
  },
  async process({ client, message, keep }) {
    const who = clients.get(client);
    const result = await mls.processMessage(
      decode(message),
      who.state,
      mls.emptyPskIndex,
      mls.acceptAll,
      suite,
    );
    if (!keep) who.state = result.newState;
    return { data: result.kind === "applicationMessage" ? hex(result.message) : null };
  },
  async encrypt({ client, data }) {
    const who = clients.get(client);
    const made = await mls.createApplicationMessage(who.state, raw(data), suite);
    who.state = made.newState;
    return {
      message: hex(
        mls.encodeMlsMessage({
          version: "mls10",
          wireformat: "mls_private_message",
          privateMessage: made.privateMessage,
        }),
      ),
    };
  },
  async authenticator({ client }) {
    const { state } = clients.get(client);
    return {
      authenticator: hex(state.keySchedule.epochAuthenticator),
      epoch: Number(state.groupContext.epoch),
    };
  },
  // What a group occupies: that of one joiner, several times. Wants node --expose-gc.
  async held({ client, welcome, copies }) {
    const { own } = clients.get(client);
    const occupied = () => {
      globalThis.gc();
      globalThis.gc();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const states = [];
    let before;
    for (let i = 0; i <= copies; i += 1) {
      states.push(
        await mls.joinGroup(
          decode(welcome).welcome,
          own.publicPackage,
          own.privatePackage,
          mls.emptyPskIndex,
          suite,
          undefined,
          undefined,
          config,
        ),
      );
      if (i === 0) before = occupied();
    }
    return { bytes: (occupied() - before) / copies, states: states.length };
  },
  async private_handshakes({ client }) {
    clients.get(client).public = false;
    return {};
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    const start = process.hrtime.bigint();
    answer = await operations[request.op](request);
    answer.us = Number(process.hrtime.bigint() - start) / 1000;
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
