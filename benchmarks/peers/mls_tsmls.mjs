// Members of MLS groups by ts-mls, for tests/interop and benchmarks/mls.py.
//
// One JSON request a line, {"op": NAME, "client": NAME, ...}, one JSON answer. Byte strings are hex.
// Each answer holds "us", the microseconds that ts-mls took, or "error".

import * as readline from "node:readline";
import { readFileSync } from "node:fs";
import * as mls from "ts-mls";
import { encode } from "ts-mls/codec/tlsEncoder.js";
import { varLenDataEncoder } from "ts-mls/codec/variableLength.js";
import { createGroupInfoWithRatchetTree } from "ts-mls/createCommit.js";
import { decodeGroupContext } from "ts-mls/groupContext.js";
import { initializeEpoch } from "ts-mls/keySchedule.js";
import { verifyParentHashes } from "ts-mls/parentHash.js";
import { computePskSecret } from "ts-mls/presharedkey.js";
import { decodeRatchetTree, encodeRatchetTree, resolution } from "ts-mls/ratchetTree.js";
import { createSecretTree, ratchetToGeneration } from "ts-mls/secretTree.js";
import { treeHash } from "ts-mls/treeHash.js";

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
  // The default takes no key package that lives longer than a month.
  lifetimeConfig: { maximumTotalLifetime: 1n << 63n, validateLifetimeOnReceive: false },
  keyPackageEqualityConfig: mls.defaultKeyPackageEqualityConfig,
  paddingConfig: { kind: "padUntilLength", padUntilLength: 0 },
  authService: mls.defaultAuthenticationService,
};

const message = (wireformat, field, value) =>
  hex(mls.encodeMlsMessage({ version: "mls10", wireformat, [field]: value }));

const answerOf = (made) => ({
  commit: hex(mls.encodeMlsMessage(made.commit)),
  welcome: made.welcome ? message("mls_welcome", "welcome", made.welcome) : null,
});

async function commitWith(client, extraProposals) {
  const made = await mls.createCommit(
    { state: client.state, cipherSuite: suite, pskIndex: psksOf(client) },
    { wireAsPublicMessage: client.public, extraProposals, ratchetTreeExtension: true },
  );
  client.pending = made.newState;
  return answerOf(made);
}

const externalPsks = {};
const psksOf = (client) => mls.makePskIndex(client.state, externalPsks);

// A proposal as a request names it.
function proposalOf({ kind, leaf, key_package, psk_id, extensions }) {
  switch (kind) {
    case "add":
      return { proposalType: "add", add: { keyPackage: decode(key_package).keyPackage } };
    case "remove":
      return { proposalType: "remove", remove: { removed: leaf } };
    case "psk":
      return {
        proposalType: "psk",
        psk: {
          preSharedKeyId: {
            psktype: "external",
            pskId: raw(psk_id),
            pskNonce: suite.rng.randomBytes(suite.kdf.size),
          },
        },
      };
    case "extensions":
      return {
        proposalType: "group_context_extensions",
        groupContextExtensions: {
          extensions: extensions.map(([extensionType, data]) => ({
            extensionType,
            extensionData: raw(data),
          })),
        },
      };
    default:
      throw new Error(`no proposal ${kind}`);
  }
}

// A tree as the ratchet_tree extension holds it, for a Welcome without one.
function treeOf(text) {
  return text ? decodeRatchetTree(raw(text), 0)[0] : undefined;
}

// ts-mls's own processMessage forgets the pre-shared keys when a message is private.
async function take(body, state, psks, impl) {
  if (body.wireformat === "mls_private_message")
    return mls.processPrivateMessage(state, body.privateMessage, psks, impl, mls.acceptAll);
  const done = await mls.processPublicMessage(
    state,
    body.publicMessage,
    psks,
    impl,
    mls.acceptAll,
  );
  return { ...done, kind: "newState" };
}

// The upstream form of a scenario: join by the Welcome, follow each epoch, give the authenticators.
async function follow(scenario) {
  const kp = decode(scenario.key_package).keyPackage;
  const keys = {
    initPrivateKey: raw(scenario.init_priv),
    hpkePrivateKey: raw(scenario.encryption_priv),
    signaturePrivateKey: raw(scenario.signature_priv),
  };
  const psks = Object.fromEntries(
    scenario.external_psks.map(({ psk_id, psk }) => [mls.bytesToBase64(raw(psk_id)), raw(psk)]),
  );
  const impl = await implOf(scenario.cipher_suite);
  let state = await mls.joinGroup(
    decode(scenario.welcome).welcome,
    kp,
    keys,
    mls.makePskIndex(undefined, psks),
    impl,
    treeOf(scenario.ratchet_tree),
    undefined,
    { ...config, keyRetentionConfig: { ...config.keyRetentionConfig, retainKeysForEpochs: 1000 } },
  );
  const seen = [hex(state.keySchedule.epochAuthenticator)];
  for (const epoch of scenario.epochs) {
    for (const text of [...epoch.proposals, epoch.commit]) {
      const index = mls.makePskIndex(state, psks);
      state = (await take(decode(text), state, index, impl)).newState;
    }
    seen.push(hex(state.keySchedule.epochAuthenticator));
  }
  return seen;
}

// Single kinds of the upstream suite, computed again; each answer is what the case should hold.
const kinds = {
  async "key-schedule"(scenario, impl) {
    const epochs = [];
    let initSecret = raw(scenario.initial_init_secret);
    for (const given of scenario.epochs) {
      const context = decodeGroupContext(raw(given.group_context), 0)[0];
      const { keySchedule, ...rest } = await initializeEpoch(
        initSecret,
        raw(given.commit_secret),
        context,
        raw(given.psk_secret),
        impl.kdf,
      );
      initSecret = keySchedule.initSecret;
      const { label, context: about, length } = given.exporter;
      const pair = await impl.hpke.deriveKeyPair(keySchedule.externalSecret);
      const exporter = keySchedule.exporterSecret;
      const secrets = { ...keySchedule, ...rest };
      epochs.push({
        ...Object.fromEntries(
          Object.entries(secrets).map(([name, value]) => [
            name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase()),
            hex(value),
          ]),
        ),
        external_pub: hex(await impl.hpke.exportPublicKey(pair.publicKey)),
        exported: hex(await mls.mlsExporter(exporter, label, raw(about), length, impl)),
      });
    }
    return { epochs };
  },
  async psk_secret(scenario, impl) {
    const psks = scenario.psks.map(({ psk_id, psk, psk_nonce }) => [
      { psktype: "external", pskId: raw(psk_id), pskNonce: raw(psk_nonce) },
      raw(psk),
    ]);
    return { psk_secret: hex(await computePskSecret(psks, impl)) };
  },
  async "secret-tree"(scenario, impl) {
    const { leaves, encryption_secret } = scenario;
    const tree = await createSecretTree(leaves.length, raw(encryption_secret), impl.kdf);
    const found = leaves.map((entries) => entries.map(({ generation }) => ({ generation })));
    for (const [leafIndex, entries] of found.entries())
      for (const entry of entries)
        for (const kind of ["handshake", "application"]) {
          const sender = { leafIndex, generation: entry.generation, reuseGuard: new Uint8Array(4) };
          const config = mls.defaultKeyRetentionConfig;
          const contentType = kind === "handshake" ? "commit" : kind;
          const at = await ratchetToGeneration(tree, sender, contentType, config, impl);
          entry[kind + "_key"] = hex(at.key);
          entry[kind + "_nonce"] = hex(at.nonce);
        }
    return { leaves: found };
  },
  async "tree-validation"(scenario, impl) {
    const tree = treeOf(scenario.tree);
    const tree_hashes = [];
    const resolutions = [];
    for (let node = 0; node < tree.length; node += 1) {
      tree_hashes.push(hex(await treeHash(tree, node, impl.hash)));
      resolutions.push(resolution(tree, node));
    }
    return { tree_hashes, resolutions, parents: await verifyParentHashes(tree, impl.hash) };
  },
};

const implOf = async (number) => {
  const name = Object.keys(mls.ciphersuites).find((key) => mls.ciphersuites[key] === number);
  return mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(name));
};

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
    return { key_package: message("mls_key_package", "keyPackage", made.publicPackage) };
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
      key_packages.map((key_package) => proposalOf({ kind: "add", key_package })),
    );
  },
  async join({ client, welcome, tree }) {
    const who = clients.get(client);
    who.state = await mls.joinGroup(
      decode(welcome).welcome,
      who.own.publicPackage,
      who.own.privatePackage,
      psksOf({ state: undefined }),
      suite,
      treeOf(tree),
      undefined,
      config,
    );
    return {};
  },
  async update({ client }) {
    return commitWith(clients.get(client), []);
  },
  async remove({ client, leaf }) {
    return commitWith(clients.get(client), [proposalOf({ kind: "remove", leaf })]);
  },
  async commit({ client, proposals }) {
    return commitWith(clients.get(client), (proposals ?? []).map(proposalOf));
  },
  async merge({ client }) {
    const who = clients.get(client);
    who.state = who.pending;
    return {};
  },
  async propose({ client, proposal }) {
    const who = clients.get(client);
    const made = await mls.createProposal(who.state, who.public, proposalOf(proposal), suite);
    who.state = made.newState;
    return { message: hex(mls.encodeMlsMessage(made.message)) };
  },
  async psk({ psk_id, psk }) {
    externalPsks[mls.bytesToBase64(raw(psk_id))] = raw(psk);
    return {};
  },
  async group_info({ client }) {
    // ts-mls's own createGroupInfoWithExternalPubAndRatchetTree writes external_pub without the
    // length that RFC 9420 §12.4.3.2 puts before it; here the extension is made by hand.
    const { state } = clients.get(client);
    const pair = await suite.hpke.deriveKeyPair(state.keySchedule.externalSecret);
    const key = await suite.hpke.exportPublicKey(pair.publicKey);
    const info = await createGroupInfoWithRatchetTree(
      state.groupContext,
      state.confirmationTag,
      state,
      state.ratchetTree,
      [{ extensionType: "external_pub", extensionData: encode(varLenDataEncoder)(key) }],
      suite,
    );
    return { group_info: message("mls_group_info", "groupInfo", info) };
  },
  async join_external({ client, group_info, resync }) {
    const who = clients.get(client);
    const made = await mls.joinGroupExternal(
      decode(group_info).groupInfo,
      who.own.publicPackage,
      who.own.privatePackage,
      resync,
      suite,
      undefined,
      config,
    );
    who.state = made.newState;
    return { commit: message("mls_public_message", "publicMessage", made.publicMessage) };
  },
  async reinit({ client, group, name }) {
    const who = clients.get(client);
    const made = await mls.reinitGroup(who.state, raw(group), "mls10", name, [], suite);
    who.pending = made.newState;
    return answerOf(made);
  },
  async reinit_new({ client, successor, group, name, key_packages }) {
    const { own } = clients.get(successor);
    const made = await mls.reinitCreateNewGroup(
      clients.get(client).state,
      own.publicPackage,
      own.privatePackage,
      key_packages.map((text) => decode(text).keyPackage),
      raw(group),
      name,
      [],
    );
    clients.get(successor).state = made.newState;
    return { ...answerOf(made), tree: hex(encodeRatchetTree(made.newState.ratchetTree)) };
  },
  async join_reinit({ client, successor, welcome, tree }) {
    const who = clients.get(successor);
    who.state = await mls.joinGroupFromReinit(
      clients.get(client).state,
      decode(welcome).welcome,
      who.own.publicPackage,
      who.own.privatePackage,
      treeOf(tree),
    );
    return {};
  },
  async branch({ client, successor, group, key_packages }) {
    const { own } = clients.get(successor);
    const made = await mls.branchGroup(
      clients.get(client).state,
      own.publicPackage,
      own.privatePackage,
      key_packages.map((text) => decode(text).keyPackage),
      raw(group),
      suite,
    );
    clients.get(successor).state = made.newState;
    return { ...answerOf(made), tree: hex(encodeRatchetTree(made.newState.ratchetTree)) };
  },
  async join_branch({ client, successor, welcome, tree }) {
    const who = clients.get(successor);
    who.state = await mls.joinGroupFromBranch(
      clients.get(client).state,
      decode(welcome).welcome,
      who.own.publicPackage,
      who.own.privatePackage,
      treeOf(tree),
      suite,
    );
    return {};
  },
  async rename({ client, to }) {
    clients.set(to, clients.get(client));
    return {};
  },
  async propose_join({ client, group_info }) {
    const { own } = clients.get(client);
    const info = decode(group_info).groupInfo;
    const made = await mls.proposeAddExternal(info, own.publicPackage, own.privatePackage, suite);
    return { message: hex(mls.encodeMlsMessage(made)) };
  },
  // For a case in the upstream form: the keys of a client that never joined by itself.
  async private_keys({ client }) {
    const { initPrivateKey, hpkePrivateKey, signaturePrivateKey } =
      clients.get(client).own.privatePackage;
    return {
      init_priv: hex(initPrivateKey),
      encryption_priv: hex(hpkePrivateKey),
      signature_priv: hex(signaturePrivateKey),
    };
  },
  async kind({ kind, scenario }) {
    return kinds[kind](scenario, await implOf(scenario.cipher_suite));
  },
  async follow({ scenario }) {
    return { authenticators: await follow(scenario) };
  },
  async exported({ client, label, context, length }) {
    const { exporterSecret } = clients.get(client).state.keySchedule;
    const secret = await mls.mlsExporter(exporterSecret, label, raw(context), length, suite);
    return { secret: hex(secret) };
  },
  async process({ client, message: text, keep }) {
    const who = clients.get(client);
    const result = await take(decode(text), who.state, psksOf(who), suite);
    if (!keep) who.state = result.newState;
    return { data: result.kind === "applicationMessage" ? hex(result.message) : null };
  },
  async encrypt({ client, data }) {
    const who = clients.get(client);
    const made = await mls.createApplicationMessage(who.state, raw(data), suite);
    who.state = made.newState;
    return { message: message("mls_private_message", "privateMessage", made.privateMessage) };
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

// ts-mls starts several checks at once; when one fails the others' failures have no reader.
process.on("unhandledRejection", () => {});

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
