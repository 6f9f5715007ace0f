// The pairwise operations of libsignal, timed beside Parlour's by benchmarks/ratchet.py.
//
// Reads one JSON request a line, {"op": NAME, "count": N}, and answers {"us": [...]}: N times in
// microseconds. The stores are maps in memory; libsignal reads and writes serialised records at
// each call, which is part of what it does.

import * as readline from "node:readline";
import { createRequire } from "node:module";
import * as signal from "@signalapp/libsignal-client";

const version = createRequire(import.meta.url)("@signalapp/libsignal-client/package.json").version;
const text = new Uint8Array(256).fill(7);

class Sessions extends signal.SessionStore {
  records = new Map();
  async saveSession(name, record) {
    this.records.set(name.toString(), record);
  }
  async getSession(name) {
    return this.records.get(name.toString()) ?? null;
  }
  async getExistingSessions(names) {
    return names.map((name) => this.records.get(name.toString()));
  }
}

class Identities extends signal.IdentityKeyStore {
  key = signal.PrivateKey.generate();
  known = new Map();
  async getIdentityKey() {
    return this.key;
  }
  async getLocalRegistrationId() {
    return 1;
  }
  async saveIdentity(name, key) {
    this.known.set(name.toString(), key);
    return 0;
  }
  async isTrustedIdentity() {
    return true;
  }
  async getIdentity(name) {
    return this.known.get(name.toString()) ?? null;
  }
}

class PreKeys extends signal.PreKeyStore {
  records = new Map();
  async savePreKey(id, record) {
    this.records.set(id, record);
  }
  async getPreKey(id) {
    return this.records.get(id);
  }
  async removePreKey(id) {
    this.records.delete(id);
  }
}

class SignedPreKeys extends signal.SignedPreKeyStore {
  records = new Map();
  async saveSignedPreKey(id, record) {
    this.records.set(id, record);
  }
  async getSignedPreKey(id) {
    return this.records.get(id);
  }
}

class KyberPreKeys extends signal.KyberPreKeyStore {
  records = new Map();
  async saveKyberPreKey(id, record) {
    this.records.set(id, record);
  }
  async getKyberPreKey(id) {
    return this.records.get(id);
  }
  async markKyberPreKeyUsed(id) {
    this.records.delete(id);
  }
}

class Device {
  sessions = new Sessions();
  identities = new Identities();
  preKeys = new PreKeys();
  signedPreKeys = new SignedPreKeys();
  kyberPreKeys = new KyberPreKeys();
  nextId = 2;

  constructor(name) {
    this.address = signal.ProtocolAddress.new(name, 1);
    this.signed = signal.PrivateKey.generate();
    const key = this.signed.getPublicKey();
    this.signature = this.identities.key.sign(key.serialize());
    const record = signal.SignedPreKeyRecord.new(1, 1, key, this.signed, this.signature);
    this.signedPreKeys.records.set(1, record);
  }

  bundle() {
    const id = this.nextId++;
    const one = signal.PrivateKey.generate();
    this.preKeys.records.set(id, signal.PreKeyRecord.new(id, one.getPublicKey(), one));
    const kem = signal.KEMKeyPair.generate();
    const signature = this.identities.key.sign(kem.getPublicKey().serialize());
    this.kyberPreKeys.records.set(id, signal.KyberPreKeyRecord.new(id, 1, kem, signature));
    return signal.PreKeyBundle.new(
      1, 1, id, one.getPublicKey(), 1, this.signed.getPublicKey(), this.signature,
      this.identities.key.getPublicKey(), id, kem.getPublicKey(), signature,
    );
  }

  start(peer, bundle) {
    return signal.processPreKeyBundle(
      bundle, peer.address, this.address, this.sessions, this.identities,
    );
  }

  async encrypt(peer) {
    const message = await signal.signalEncrypt(
      text, peer.address, this.address, this.sessions, this.identities,
    );
    return { first: message.type() === 3, data: message.serialize() };
  }

  decrypt(peer, message) {
    if (message.first) {
      return signal.signalDecryptPreKey(
        signal.PreKeySignalMessage.deserialize(message.data), peer.address, this.address,
        this.sessions, this.identities, this.preKeys, this.signedPreKeys, this.kyberPreKeys,
      );
    }
    return signal.signalDecrypt(
      signal.SignalMessage.deserialize(message.data), peer.address, this.address,
      this.sessions, this.identities,
    );
  }
}

async function started(left, right) {
  await left.start(right, right.bundle());
  await right.decrypt(left, await left.encrypt(right));
  await left.decrypt(right, await right.encrypt(left));
}

const timer = () => process.hrtime.bigint();
const since = (start) => Number(process.hrtime.bigint() - start) / 1000;

const ada = new Device("ada");
const bea = new Device("bea");
await started(ada, bea);
const crowd = [];

const operations = {
  async initiate() {
    const left = new Device("left");
    const bundle = bea.bundle();
    const start = timer();
    await left.start(bea, bundle);
    await left.encrypt(bea);
    return since(start);
  },
  async respond() {
    const left = new Device("left");
    const right = new Device("right");
    await left.start(right, right.bundle());
    const message = await left.encrypt(right);
    const start = timer();
    await right.decrypt(left, message);
    return since(start);
  },
  async round() {
    const start = timer();
    await bea.decrypt(ada, await ada.encrypt(bea));
    const middle = since(start);
    await ada.decrypt(bea, await bea.encrypt(ada));
    return middle;
  },
  async encrypt() {
    const start = timer();
    const message = await ada.encrypt(bea);
    const time = since(start);
    await bea.decrypt(ada, message);
    return time;
  },
  async decrypt() {
    const message = await ada.encrypt(bea);
    const start = timer();
    await bea.decrypt(ada, message);
    return since(start);
  },
  async fan_out() {
    while (crowd.length < 100) {
      const member = new Device(`member ${crowd.length}`);
      await started(ada, member);
      crowd.push(member);
    }
    const start = timer();
    for (const member of crowd) await ada.encrypt(member);
    return since(start);
  },
  async batch() {
    const left = new Device("left");
    const right = new Device("right");
    await started(left, right);
    const start = timer();
    for (let count = 0; count < 100; count++) await left.encrypt(right);
    return since(start);
  },
};

console.log(JSON.stringify({ version }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { op, count } = JSON.parse(line);
  const us = [];
  for (let run = 0; run < count; run++) us.push(await operations[op]());
  console.log(JSON.stringify({ us }));
}
