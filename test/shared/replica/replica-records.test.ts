import { beforeEach, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '#shared/bytes.ts';
import { MAX_CLAIM_ROWS } from '#shared/credit/claim.ts';
import { parseClaim } from '#shared/credit/claim-codec.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import { SKETCH_BYTES } from '#shared/judge/sketch.ts';
import { MAX_RECORDS } from '#shared/limits.ts';
import { openAttestation } from '#shared/receipt/evidence/attest.ts';
import type { Attestation } from '#shared/receipt/evidence/attestation.ts';
import { salted } from '#shared/receipt/evidence/salted.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { CheckDriver, toyPrompt } from '../../support/check-driver.ts';
import { toyDigest, toyManifest } from '../../support/toy-model.ts';
import { toyIdentity, ToyNetwork, toyRanges, toyVerify } from '../../support/toy-network.ts';

const SALT = new Uint8Array(32).fill(5);
const SEED = new Uint8Array(32).fill(6);
let network: ToyNetwork;
let driver: CheckDriver;
let primaries: PeerId[];
let shadows: PeerId[];
/** Of the record that was asked for last. */
let number: number;

beforeEach(() => {
  number = 0;
  network = new ToyNetwork(2);
  driver = new CheckDriver(network);
  ({ primaries, shadows } = driver);
});

const record = (end: number, salt = SALT, seed = SEED): PeerMessage => {
  return { type: 'record', session: driver.session, end, number: ++number, salt, seed };
};

function recorded(by: PeerId, of = driver) {
  return of.from(by).flatMap((message) => (message.type === 'recorded' ? [message] : []));
}

/** The last record that a replica signed, its signature verified. */
async function attested(by: PeerId): Promise<Attestation> {
  const { publicKey, envelope } = recorded(by).at(-1)!;
  return openAttestation(envelope, publicKey, toyVerify);
}

describe('a replica that is asked for its record', () => {
  it('signs what it committed to, under the salt of the requester', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.check(32, 43);
    await driver.sayAll(driver.replicas, [record(43)]);
    for (const [role, peers] of [
      ['primary', primaries],
      ['shadow', shadows],
    ] as const) {
      for (const [stage, peer] of peers.entries()) {
        const { subject, predicate } = await attested(peer);
        const [first, second] = driver.commits(peer).map(({ statement }) => statement);
        expect(predicate).toEqual({
          session: driver.session,
          stage,
          range: toyRanges[stage],
          role,
          record: 1,
          model: toyDigest,
          numericClass: 'wasm',
          engine: null,
          runtime: { name: toyManifest.pins.runtime, version: toyManifest.pins.runtimeVersion },
          positions: 43,
          input: { sha256: salted(SALT, second!.inputTo) },
          outputs: [
            { end: 32, sha256: salted(SALT, first!.outputTo) },
            { end: 43, sha256: salted(SALT, second!.outputTo) },
          ],
          runs: { sha256: toHex(second!.shapes) },
          attestedAt: new Date(network.clock.wallMs()).toISOString().replace(/\.\d+Z/, 'Z'),
        });
        expect(subject[0]!.digest.sha256).toBe(predicate.outputs[1]!.sha256);
      }
    }
    expect(driver.allFaults).toEqual([]);
  });

  it('signs for what a session holds after a cut', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.check(32, 43);
    await driver.cut(40);
    await driver.feed([5, 6]);
    await driver.check(40, 42);
    await driver.sayAll(driver.replicas, [record(42)]);
    for (const peer of driver.replicas) {
      const { predicate } = await attested(peer);
      const { inputTo, outputTo, shapes } = driver.commits(peer).at(-1)!.statement;
      expect(predicate.input.sha256).toBe(salted(SALT, inputTo));
      expect(predicate.outputs.at(-1)).toEqual({ end: 42, sha256: salted(SALT, outputTo) });
      expect(predicate.runs.sha256).toBe(toHex(shapes));
    }
  });

  it('signs for what it computed where the session is not checked', async () => {
    await driver.open();
    await driver.feed(toyPrompt(40));
    await driver.sayAll(primaries, [record(40)]);
    for (const peer of primaries) expect((await attested(peer)).predicate.positions).toBe(40);
    await driver.sayAll([primaries[1]!], [record(39)]);
    expect(recorded(primaries[1]!)).toHaveLength(1);
    await driver.say(primaries[1]!, [record(41)]);
    expect(driver.faults(primaries[0]!)).toEqual(['bad-message']);
  });

  it.each([
    ['the middle of a span', 31],
    ['an earlier span’s end', 32],
  ])('signs nothing for %s, and goes on', async (_, end) => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.check(32, 43);
    await driver.sayAll(driver.replicas, [record(end)]);
    expect(driver.replicas.flatMap((peer) => recorded(peer))).toEqual([]);
    expect(driver.allFaults).toEqual([]);
  });

  it('signs nothing for what a cut has taken, and goes on', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.check(32, 43);
    await driver.cut(40);
    await driver.sayAll(driver.replicas, [record(43)]);
    expect(driver.replicas.flatMap((peer) => recorded(peer))).toEqual([]);
    expect(driver.allFaults).toEqual([]);
  });
});

describe('the claim that goes with a record', () => {
  const claims = (peer: PeerId) => recorded(peer).map(({ claim }) => parseClaim(claim));

  it('is of the same work, under its own signature', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.check(32, 43);
    await driver.sayAll(driver.replicas, [record(43)]);
    for (const [role, peers] of [
      ['primary', primaries],
      ['shadow', shadows],
    ] as const) {
      for (const [stage, peer] of peers.entries()) {
        const { publicKey, claim, claimSignature } = recorded(peer)[0]!;
        expect(await toyVerify(publicKey, claim, claimSignature)).toBe(true);
        const { inputTo, outputTo, shapes } = driver.commits(peer).at(-1)!.statement;
        const { sketch, ...said } = parseClaim(claim);
        expect(said).toEqual({
          ...{ session: driver.session, stage, range: toyRanges[stage], role, model: toyDigest },
          numericClass: digestOf(utf8('wasm')),
          ...{ from: 0, positions: 43 },
          input: salted(SALT, inputTo),
          output: salted(SALT, outputTo),
          runs: salted(SALT, shapes),
          seed: digestOf(SEED),
        });
        // The head gave the logits of the prompt's last position, and of three after it.
        expect(sketch).toHaveLength(SKETCH_BYTES * (stage === 2 ? 4 : MAX_CLAIM_ROWS));
      }
    }
  });

  it('has the sketches that another replica of the stage has, and others under another seed', async () => {
    await driver.answer();
    await driver.check(0, 43 - 11);
    await driver.check(32, 43);
    await driver.sayAll(driver.replicas, [record(43)]);
    const sketches = driver.replicas.map((peer) => claims(peer)[0]!.sketch);
    for (const stage of [0, 1, 2]) expect(sketches[2 * stage]).toEqual(sketches[2 * stage + 1]);
    const again = new ToyNetwork(2);
    const other = new CheckDriver(again);
    await other.answer();
    await other.check(0, 32);
    await other.check(32, 43);
    const otherSeed = { ...record(43, SALT, SALT), session: other.session } as PeerMessage;
    await other.sayAll(other.replicas, [otherSeed]);
    expect(parseClaim(recorded(other.primaries[2]!, other)[0]!.claim).sketch).not.toEqual(sketches[4]);
  });

  it('sketches what is new since the one before, a cut counted in', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.check(32, 43);
    await driver.sayAll(driver.replicas, [record(43)]);
    await driver.feed([5, 6]);
    await driver.check(43, 45);
    await driver.sayAll(driver.replicas, [record(45)]);
    await driver.cut(40);
    await driver.feed([8]);
    await driver.check(40, 41);
    await driver.sayAll(driver.replicas, [record(41)]);
    for (const peer of [...primaries.slice(0, 2), ...shadows.slice(0, 2)]) {
      const parts = claims(peer).map(({ from, positions, sketch }) => [from, positions, sketch.length / SKETCH_BYTES]);
      expect(parts).toEqual([
        [0, 43, 32],
        [43, 45, 2],
        [40, 41, 1],
      ]);
    }
    expect(driver.allFaults).toEqual([]);
  });

  it('has no sketch of rows that are no numbers', async () => {
    const { compute } = driver.volunteer(primaries[2]!);
    compute.tamper = (output) => ({ ...output, bytes: output.bytes.map(() => 255) });
    await driver.open();
    await driver.feed(toyPrompt(3));
    await driver.say(primaries[2]!, [record(3)]);
    expect(claims(primaries[2]!)).toMatchObject([{ positions: 3, sketch: new Uint8Array() }]);
  });
});

describe('a replica refuses to sign', () => {
  it('for anybody but the requester, and goes on', async () => {
    await driver.answer();
    await driver.check(0, 32);
    const stranger = new CheckDriver(network, 'stranger', driver.route);
    for (const peer of [primaries[1]!, shadows[1]!]) {
      await stranger.say(peer, [record(32)]);
      expect(stranger.from(peer)).toMatchObject([{ type: 'fault', code: 'unrouted' }]);
    }
    expect(network.volunteers.every(({ host }) => host.sessionCount === 1)).toBe(true);
  });

  it('for what it computed and did not commit to', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.say(primaries[0]!, [record(43)]);
    expect(driver.faults(primaries[0]!)).toEqual(['bad-message']);
    expect(recorded(primaries[0]!)).toEqual([]);
  });

  it('for what it took in and did not compute', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.say(shadows[1]!, [record(43)]);
    expect(driver.faults(shadows[1]!)).toEqual(['bad-message']);
    expect(recorded(shadows[1]!)).toEqual([]);
  });

  it('for a shadow’s place in a session that nobody checks', async () => {
    await driver.open();
    await driver.feed(toyPrompt(40));
    await driver.say(shadows[0]!, [record(40)]);
    expect(driver.faults(shadows[0]!)).toEqual(['bad-message']);
  });

  it('for a session that is not open here', async () => {
    await driver.say(primaries[1]!, [record(32)]);
    expect(driver.faults(primaries[1]!)).toEqual(['unknown-session']);
  });

  it('more often than it may in one session', async () => {
    await driver.open();
    await driver.feed(toyPrompt(3));
    const asked = Array.from({ length: MAX_RECORDS }, (_, i) => record(3, new Uint8Array(32).fill(i)));
    await driver.say(primaries[0]!, asked);
    expect(recorded(primaries[0]!)).toHaveLength(MAX_RECORDS);
    await driver.say(primaries[0]!, [record(3)]);
    expect(driver.faults(primaries[0]!)).toEqual(['rate-limited']);
    expect(recorded(primaries[0]!)).toHaveLength(MAX_RECORDS);
  });

  it('a second time under a number that it has signed, or a lower one', async () => {
    await driver.open();
    await driver.feed(toyPrompt(3));
    const [first, second] = [record(3), record(3, new Uint8Array(32))];
    await driver.say(primaries[0]!, [second]);
    await driver.say(primaries[0]!, [first, { ...second, salt: SALT } as PeerMessage]);
    expect(driver.faults(primaries[0]!)[0]).toBe('bad-message');
    expect(recorded(primaries[0]!)).toHaveLength(1);
    expect((await attested(primaries[0]!)).predicate.record).toBe(2);
  });

  it('in the name of another: its record is under its own key', async () => {
    await driver.answer();
    await driver.check(0, 32);
    await driver.say(primaries[2]!, [record(32)]);
    const { publicKey, envelope } = recorded(primaries[2]!)[0]!;
    expect(envelope.signatures.map(({ keyid }) => keyid)).toEqual([primaries[2]]);
    expect(publicKey).not.toEqual(toyIdentity('another').publicKey);
  });
});
