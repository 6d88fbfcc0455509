import { beforeAll, describe, expect, test } from 'vitest';
import { fromBase64, toBase64, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Digest, SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { commitBytes } from '#shared/judge/statement-codec.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { proofSchema, type Proof } from '#shared/proof/proof-schema.ts';
import { computationProof, equivocationProof, sketchProof } from '#shared/proof/proof.ts';
import { verifyProof, type ProofDeps } from '#shared/proof/verify-proof.ts';
import { ROUTE_PAYLOAD_TYPE, type Route } from '#shared/route/route.ts';
import { CHAIN_START, foldRows, foldTail } from '#shared/rows/row-chain.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { makeIdentities } from '../../support/test-identity.ts';
import {
  logitsRow,
  makeChunk,
  signed,
  speak,
  speakLogits,
  type Chunk,
  type SpokenChunk,
} from '../../support/testimonies.ts';

const model = 'c0'.repeat(32) as Digest;
const session = 'ab'.repeat(16) as SessionId;
const replaySession = 'cd'.repeat(16) as SessionId;
const GPU = 'webgpu/maker/model';
const OTHER_ENGINE = 'int16/ffffffffffffffff';
const VOCABULARY = 100;

const base = smallManifest({ layers: 8 });
const manifest: Manifest = { ...base, pins: { ...base.pins, boundary: 'f32' } };
const front: StageRange = { start: 0, end: 2, embedding: true, head: false };
const middle: StageRange = { start: 2, end: 6, embedding: false, head: false };
const back: StageRange = { start: 6, end: 8, embedding: false, head: true };

let server: Identity,
  first: Identity,
  accused: Identity,
  shadow: Identity,
  last: Identity,
  anchor: Identity,
  other: Identity;
let deps: ProofDeps;
beforeAll(async () => {
  [server, first, accused, shadow, last, anchor, other] = (await makeIdentities(7)) as [
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
  ];
  deps = {
    serverKey: server.publicKey,
    verify: verifySignature,
    isReferee: (peer) => peer === anchor.id,
    manifest: (digest) => (digest === model ? manifest : undefined),
  };
});

const replica = (identity: Identity, numericClass: string) => ({ id: identity.id, webrtc: true, numericClass });

function answerRoute(numericClass = GPU, change: Partial<Route> = {}): Route {
  const stage = (range: StageRange, primary: Identity, shadows: Identity[]) => ({
    range,
    primary: replica(primary, numericClass),
    shadows: shadows.map((identity) => replica(identity, numericClass)),
    predictedMs: 1,
  });
  return {
    session,
    purpose: 'answer',
    model,
    requester: { id: other.id, webrtc: true },
    capacity: 100,
    issuedAtMs: 0,
    expiresAtMs: 1,
    stages: [stage(front, first, []), stage(middle, accused, [shadow]), stage(back, last, [])],
    notes: [],
    ...change,
  };
}

function replayRoute(range = middle, change: Partial<Route> = {}, numericClass = 'wasm'): Route {
  const stages = [{ range, primary: replica(anchor, numericClass), shadows: [], predictedMs: 1 }];
  return { ...answerRoute(), session: replaySession, purpose: 'replay', stages, ...change };
}

const envelope = (route: Route, by = server): Promise<Envelope> =>
  signEnvelope(by, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(route)));

const chunk = makeChunk(1, 8);
const wrong: Chunk = { ...chunk, output: chunk.output.map((value) => 1.2 * value) };
const seed = new Uint8Array(32).fill(4);
const noisy: Chunk = { ...chunk, output: chunk.output.map((value, i) => value * (1 + 1e-6 * Math.sin(i))) };

interface Case {
  readonly by?: Identity;
  readonly byReferee?: Identity;
  readonly route?: Route;
  readonly replay?: Route;
  readonly routeBy?: Identity;
  readonly replayBy?: Identity;
  readonly claimed?: Chunk;
  readonly right?: Chunk;
  readonly spoken?: SpokenChunk;
  readonly refereed?: SpokenChunk;
}

/** A proof against the primary of the middle stage, with what the case changes in it. */
async function proofOf(given: Case = {}): Promise<Proof> {
  const { by = accused, byReferee = anchor, route = answerRoute(), replay = replayRoute() } = given;
  const said = speak(given.claimed ?? wrong, { session, stage: 1, index: 4, ...given.spoken });
  const right = speak(given.right ?? chunk, { session: replaySession, stage: 0, ...given.refereed });
  const proof = computationProof({
    route: await envelope(route, given.routeBy),
    replay: await envelope(replay, given.replayBy),
    accused: await signed(said, by, GPU),
    referee: await signed(right, byReferee, 'wasm'),
  });
  return proofSchema.parse(JSON.parse(JSON.stringify(proof)));
}

const verdict = async (proof: Proof | Promise<Proof>) => verifyProof(await proof, deps);
const code = async (proof: Proof | Promise<Proof>) => codeOfAsync(verdict(proof));

describe('a proof of a wrong computation', () => {
  test('names the primary whose rows are too far from the referee’s', async () => {
    expect(await verdict(proofOf())).toEqual({
      accused: accused.id,
      session,
      model,
      stage: 1,
      range: middle,
      reason: 'disagreement',
    });
  });

  test('names a shadow as well', async () => {
    expect(await verdict(proofOf({ by: shadow }))).toMatchObject({ accused: shadow.id, reason: 'disagreement' });
  });

  test('needs but one bit where both are of WASM and ran in the same shapes', async () => {
    const route = answerRoute('wasm');
    expect(await verdict(proofOf({ route, claimed: noisy }))).toMatchObject({ reason: 'disagreement' });
    expect(await code(proofOf({ route, claimed: noisy, spoken: { runs: [31, 1] } }))).toBe('bad-message');
    expect(await code(proofOf({ claimed: noisy }))).toBe('bad-message');
    expect(await code(proofOf({ route, claimed: chunk }))).toBe('bad-message');
  });

  test('needs but one bit where both are of the engine, whatever their runs were', async () => {
    const route = answerRoute(ENGINE_CLASS);
    const replay = replayRoute(middle, {}, ENGINE_CLASS);
    for (const runs of [[32], [31, 1], new Array<number>(32).fill(1)]) {
      const spoken = { runs };
      const claim = proofOf({ route, replay, claimed: noisy, spoken });
      expect(await verdict(claim)).toMatchObject({ accused: accused.id, reason: 'disagreement' });
      expect(await code(proofOf({ route, replay, claimed: chunk, spoken }))).toBe('bad-message');
      expect(await code(proofOf({ route, replay, claimed: noisy, spoken, refereed: { seed } }))).toBe('bad-message');
    }
  });

  test('is held to limits where but one of the two is of the engine, and shows whoever is beyond them', async () => {
    const engine = replayRoute(middle, {}, ENGINE_CLASS);
    const others = ['wasm', GPU, OTHER_ENGINE].map((each) => [each, engine] as const);
    for (const [numericClass, replay] of [[ENGINE_CLASS, replayRoute()] as const, ...others]) {
      const route = answerRoute(numericClass);
      expect(await code(proofOf({ route, replay, claimed: noisy }))).toBe('bad-message');
      expect(await verdict(proofOf({ route, replay }))).toMatchObject({ reason: 'disagreement' });
    }
  });

  test('needs more than the limits of a measured pair, where these are tighter than the cautious ones', async () => {
    const route = answerRoute('wasm');
    const off = (by: number): Chunk => ({
      ...chunk,
      output: chunk.output.map((value, i) => value + by * (value - chunk.input[i]!)),
    });
    const spoken = { runs: [31, 1] };
    expect(await code(proofOf({ route, claimed: off(1e-2), spoken }))).toBe('bad-message');
    expect(await verdict(proofOf({ route, claimed: off(1e-1), spoken }))).toMatchObject({ reason: 'disagreement' });
  });

  test('shows rows that are no numbers', async () => {
    const claimed = { ...chunk, output: chunk.output.map(() => NaN) };
    expect(await verdict(proofOf({ claimed }))).toMatchObject({ reason: 'not-finite' });
  });

  test('shows nothing over rows so large that their rounding outweighs what the stage adds', async () => {
    const input = chunk.input.map((value) => 1e3 * value);
    const onTop = (of: Chunk, by: number): Chunk => ({
      ...of,
      input,
      output: input.map((value, i) => value + by * (chunk.output[i]! - chunk.input[i]!)),
    });
    const right = onTop(chunk, 1);
    const broken = { ...right, output: right.output.map(() => Infinity) };
    expect(await code(proofOf({ right, claimed: onTop(chunk, 2) }))).toBe('bad-message');
    expect(await code(proofOf({ right, claimed: broken }))).toBe('bad-message');
    const route = answerRoute('wasm');
    expect(await verdict(proofOf({ right, claimed: onTop(chunk, 2), route }))).toMatchObject({
      reason: 'disagreement',
    });
  });

  test('shows a sketch that is not that of the rows both committed to', async () => {
    const lie = async (side: 'input' | 'output') => {
      const proof = (await proofOf({ claimed: chunk })) as Extract<Proof, { type: 'computation' }>;
      const { commit, reveal } = speak(chunk, { session, stage: 1 });
      const lied = { ...reveal, [side]: speak(wrong, { session, stage: 1 }).reveal.output };
      const route = await envelope(answerRoute());
      const told = computationProof({
        route,
        replay: proof.replay,
        accused: await signed({ commit, reveal: lied }, accused, GPU),
        referee: await signed(speak(chunk, { session: replaySession, stage: 0 }), anchor, 'wasm'),
      });
      return verdict(told);
    };
    expect(await lie('input')).toMatchObject({ reason: 'sketch-mismatch' });
    expect(await lie('output')).toMatchObject({ reason: 'sketch-mismatch' });
  });

  const hostile: [string, () => Case, string][] = [
    ['no difference', () => ({ claimed: chunk }), 'bad-message'],
    ['a route that the server did not sign', () => ({ routeBy: other }), 'bad-signature'],
    ['a replay that the server did not sign', () => ({ replayBy: other }), 'bad-signature'],
    ['a replay in place of an answer', () => ({ route: answerRoute(GPU, { purpose: 'replay' }) }), 'bad-message'],
    ['an answer in place of a replay', () => ({ replay: replayRoute(middle, { purpose: 'answer' }) }), 'bad-message'],
    [
      'a model that is not here',
      () => ({ route: answerRoute(GPU, { model: 'c1'.repeat(32) as Digest }) }),
      'unknown-model',
    ],
    [
      'a replay of another model',
      () => ({ replay: replayRoute(middle, { model: 'c1'.repeat(32) as Digest }) }),
      'bad-message',
    ],
    [
      'a replay of two stages',
      () => ({ replay: replayRoute(middle, { stages: answerRoute('wasm').stages }) }),
      'bad-message',
    ],
    ['an accused that is not in the route', () => ({ by: other }), 'wrong-peer'],
    ['an accused of another stage', () => ({ by: last }), 'wrong-peer'],
    ['a stage that the route has not', () => ({ spoken: { stage: 3 } }), 'wrong-peer'],
    ['a referee that is not in the replay', () => ({ byReferee: other }), 'wrong-peer'],
    ['a referee that is no anchor', () => ({ byReferee: shadow, replay: replayOf(shadow) }), 'wrong-peer'],
    ['the accused as its own referee', () => ({ by: anchor, route: routeWith(anchor) }), 'wrong-peer'],
    ['a referee with a GPU', () => ({ replay: replayRoute(middle, {}, GPU) }), 'bad-message'],
    ['a referee of another engine', () => ({ replay: replayRoute(middle, {}, OTHER_ENGINE) }), 'bad-message'],
    ['a referee of other layers', () => ({ replay: replayRoute({ ...middle, end: 5 }) }), 'bad-message'],
    ['an accused’s word on another session', () => ({ spoken: { session: replaySession } }), 'unknown-session'],
    ['a referee’s word on another session', () => ({ refereed: { session } }), 'unknown-session'],
    ['another seed', () => ({ spoken: { seed: new Uint8Array(32).fill(4) } }), 'bad-message'],
    ['other input', () => ({ right: makeChunk(2, 8) }), 'bad-message'],
    [
      'another span',
      () => ({ right: { ...chunk, input: chunk.input.slice(8), output: chunk.output.slice(8) } }),
      'bad-message',
    ],
    ['input of no numbers', () => ({ claimed: withInput(wrong, NaN), right: withInput(chunk, NaN) }), 'bad-message'],
    [
      'a referee’s output of no numbers',
      () => ({ right: { ...chunk, output: chunk.output.map(() => NaN) } }),
      'bad-message',
    ],
  ];
  const withInput = (of: Chunk, value: number) => ({ ...of, input: of.input.map(() => value) });
  const replayOf = (identity: Identity) =>
    replayRoute(middle, {
      stages: [{ range: middle, primary: replica(identity, 'wasm'), shadows: [], predictedMs: 1 }],
    });
  const routeWith = (identity: Identity) => {
    const route = answerRoute();
    return { ...route, stages: route.stages.map((stage) => ({ ...stage, primary: replica(identity, GPU) })) };
  };

  test.each(hostile)('with %s shows nothing', async (_, change, expected) => {
    expect(await code(proofOf(change()))).toBe(expected);
  });

  test.each([
    ['accused', 'commit'],
    ['accused', 'reveal'],
    ['referee', 'commit'],
    ['referee', 'reveal'],
  ] as const)('needs the signature on the %s’s %s', async (party, statement) => {
    const proof = structuredClone(await proofOf()) as Extract<Proof, { type: 'computation' }>;
    const signature = fromBase64(proof[party][statement].signature);
    signature[10]! ^= 1;
    const forged = { ...proof[party], [statement]: { ...proof[party][statement], signature: toBase64(signature) } };
    expect(await code({ ...proof, [party]: forged })).toBe('bad-signature');
  });

  test('does not put one’s commit and another’s reveal together', async () => {
    const proof = (await proofOf()) as Extract<Proof, { type: 'computation' }>;
    const foreign = (await proofOf({ by: shadow })) as typeof proof;
    expect(await code({ ...proof, accused: { ...proof.accused, reveal: foreign.accused.reveal } })).toBe('wrong-peer');
    const later = (await proofOf({ spoken: { index: 5 } })) as typeof proof;
    expect(await code({ ...proof, accused: { ...proof.accused, reveal: later.accused.reveal } })).toBe('bad-message');
    const anew = { opening: new Uint8Array(16) };
    const again = (await proofOf({ spoken: anew, refereed: anew })) as typeof proof;
    for (const party of ['accused', 'referee'] as const) {
      const mixed = { ...proof[party], reveal: again[party].reveal };
      expect(await code({ ...proof, [party]: mixed })).toBe('bad-message');
    }
  });

  test('holds a reveal to the values that were signed', async () => {
    const proof = (await proofOf()) as Extract<Proof, { type: 'computation' }>;
    const reveal = { ...proof.accused.reveal, output: proof.referee.reveal.output };
    expect(await code({ ...proof, accused: { ...proof.accused, reveal } })).toBe('digest-mismatch');
    const torn = { ...proof.accused.commit, statement: 'AAA' };
    expect(await code({ ...proof, accused: { ...proof.accused, commit: torn } })).toBe('bad-message');
  });
});

describe('a proof of wrong logits', () => {
  const row = (at: number, better = -1) =>
    logitsRow(
      Array.from({ length: VOCABULARY }, (_, token) => 4 * Math.sin(token * at) + (token === better ? 8 : 0)),
    ).slice(0, 516);
  const rows = [1.1, 1.2, 1.3].map((at) => row(at));
  const false_ = [1.1, 1.2, 1.3].map((at) => row(at, 70));

  async function headProof(said: ReturnType<typeof speak>, numericClass = GPU, right = rows, refereeClass = 'wasm') {
    return computationProof({
      route: await envelope(answerRoute(numericClass)),
      replay: await envelope(replayRoute(back, {}, refereeClass)),
      accused: await signed(said, last, numericClass),
      referee: await signed(speakLogits(chunk, right, { session: replaySession, stage: 0 }), anchor, 'wasm'),
    });
  }
  const spoken = (of: Uint8Array<ArrayBuffer>[]) => speakLogits(chunk, of, { session, stage: 2 });

  test('names the last stage', async () => {
    expect(await verdict(headProof(spoken(false_)))).toMatchObject({
      accused: last.id,
      stage: 2,
      reason: 'disagreement',
    });
    expect(await code(headProof(spoken(rows)))).toBe('bad-message');
  });

  test('shows nothing where the reporter asked the referee for other positions, though both are of WASM', async () => {
    expect(await code(headProof(spoken(rows.slice(1)), 'wasm'))).toBe('bad-message');
    // The same number of rows, but not the last ones of the span: the chain tells.
    const { commit, reveal } = spoken(rows);
    const moved = { ...commit, outputTo: speakLogits(chunk, [...rows, new Uint8Array(0)]).commit.outputTo };
    expect(await code(headProof({ commit: moved, reveal }, 'wasm', false_))).toBe('bad-message');
  });

  const nearly = rows.map((bytes) => {
    const near = bytes.slice();
    near[8]! ^= 1;
    return near;
  });

  test('needs but one bit of two engines, whatever they were asked for before', async () => {
    const outputFrom = foldRows(CHAIN_START, [rows[0]!]);
    const asked = (of: Uint8Array<ArrayBuffer>[]) => {
      const { commit, reveal } = speakLogits(chunk, of, { session, stage: 2, runs: [31, 1] });
      return { commit: { ...commit, outputFrom, outputTo: foldTail(outputFrom, commit.end, of) }, reveal };
    };
    const against = (of: Uint8Array<ArrayBuffer>[], referee = ENGINE_CLASS as string) =>
      headProof(asked(of), ENGINE_CLASS, rows, referee);
    expect(await verdict(against(nearly))).toMatchObject({ accused: last.id, reason: 'disagreement' });
    expect(await code(against(nearly, 'wasm'))).toBe('bad-message');
    for (const each of [rows, rows.slice(1)]) expect(await code(against(each))).toBe('bad-message');
  });

  test('needs more than one bit where the same run may have been asked for more logits', async () => {
    const { commit, reveal } = spoken(nearly);
    expect(await verdict(headProof({ commit, reveal }, 'wasm'))).toMatchObject({ reason: 'disagreement' });
    const outputFrom = foldRows(CHAIN_START, [rows[0]!]);
    const asked = { ...commit, outputFrom, outputTo: foldTail(outputFrom, commit.end, nearly) };
    expect(await code(headProof({ commit: asked, reveal }, 'wasm'))).toBe('bad-message');
  });

  test('shows nothing where only earlier spans differ', async () => {
    const { commit, reveal } = spoken(rows);
    const from = { ...commit, outputFrom: new Uint8Array(32).fill(1) };
    expect(await code(headProof({ commit: from, reveal }, 'wasm'))).toBe('bad-message');
  });
});

describe('a proof of two words on one span', () => {
  const said = (of: Chunk, options: SpokenChunk = {}, by = accused) =>
    signed(speak(of, { session, ...options }), by, GPU);

  test('names who signed two commits, or two reveals', async () => {
    const [a, b] = [await said(chunk), await said(wrong)];
    const route = await envelope(answerRoute());
    const found = { accused: accused.id, session, model, stage: 1, range: middle };
    expect(await verdict(equivocationProof(route, a.commit, b.commit))).toEqual({ ...found, reason: 'commit-doubled' });
    expect(await verdict(equivocationProof(route, a.reveal, b.reveal))).toEqual({ ...found, reason: 'reveal-doubled' });
  });

  test.each([
    ['the same word twice', () => said(chunk), 'bad-message'],
    ['words on two spans', () => said(wrong, { index: 2 }), 'bad-message'],
    ['words on two sessions', () => said(wrong, { session: replaySession }), 'bad-message'],
    ['words on two stages', () => said(wrong, { stage: 2 }), 'bad-message'],
    ['words under two openings', () => said(wrong, { opening: new Uint8Array(16) }), 'bad-message'],
    ['words of two', () => said(wrong, {}, shadow), 'wrong-peer'],
  ])('shows nothing in %s', async (_, second, expected) => {
    const route = await envelope(answerRoute());
    expect(await code(equivocationProof(route, (await said(chunk)).commit, (await second()).commit))).toBe(expected);
  });

  test('shows nothing in a commit and a reveal, in words of two epochs, or of somebody outside the route', async () => {
    const route = await envelope(answerRoute());
    const { commit, reveal } = await said(chunk);
    expect(await code(equivocationProof(route, commit, reveal))).toBe('bad-message');
    const statement = { ...commit.statement, epoch: 1 };
    const later = { ...commit, statement, signature: await accused.sign(commitBytes(statement)) };
    expect(await code(equivocationProof(route, commit, later))).toBe('bad-message');
    const [a, b] = [await said(chunk, {}, other), await said(wrong, {}, other)];
    expect(await code(equivocationProof(route, a.commit, b.commit))).toBe('wrong-peer');
    expect(await code(equivocationProof(await envelope(answerRoute(), other), commit, later))).toBe('bad-signature');
    const unsigned = { ...(await said(wrong)).commit, signature: commit.signature };
    expect(await code(equivocationProof(route, commit, unsigned))).toBe('bad-signature');
  });
});

describe('a proof of a false sketch', () => {
  const bytes = (values: Float32Array<ArrayBuffer>) => new Uint8Array(values.buffer);

  async function lied(side: 'input' | 'output', shown: Chunk | null, rows = bytes(chunk[side])): Promise<Proof> {
    const { commit, reveal } = speak(chunk, { session });
    const false_ = shown === null ? reveal : { ...reveal, [side]: speak(shown, { session }).reveal[side] };
    return sketchProof(
      await envelope(answerRoute()),
      side,
      await signed({ commit, reveal: false_ }, accused, GPU),
      rows,
    )!;
  }

  test('names who showed another sketch than that of its rows, on either side', async () => {
    expect(await verdict(lied('output', wrong))).toMatchObject({ accused: accused.id, reason: 'sketch-mismatch' });
    expect(await verdict(lied('input', makeChunk(2, 8)))).toMatchObject({
      accused: accused.id,
      reason: 'sketch-mismatch',
    });
  });

  test('shows nothing where the sketch is right, or the rows are others, or not all', async () => {
    expect(await code(lied('output', null))).toBe('bad-message');
    expect(await code(lied('output', wrong, bytes(wrong.output)))).toBe('bad-message');
    expect(await code(lied('output', wrong, bytes(chunk.output.slice(8))))).toBe('bad-message');
    expect(await code(lied('output', wrong, bytes(chunk.output.slice(1))))).toBe('bad-message');
  });

  test('is not made of more rows than a report may hold', async () => {
    const { commit, reveal } = speak(chunk);
    const testimony = await signed({ commit, reveal }, accused, GPU);
    expect(sketchProof(await envelope(answerRoute()), 'output', testimony, new Uint8Array(300 * 1024 + 1))).toBeNull();
  });

  test('names a head that shows other logits than it delivered', async () => {
    const row = (first: number) =>
      logitsRow(Array.from({ length: VOCABULARY }, (_, token) => first + Math.sin(token))).slice(0, 516);
    const rows = [row(1), row(2)];
    const { commit, reveal } = speakLogits(chunk, rows, { session, stage: 2 });
    const joined = (of: Uint8Array[]) => new Uint8Array(of.flatMap((each) => [...each]));
    const route = await envelope(answerRoute());
    const told = async (output: Uint8Array<ArrayBuffer>, delivered = rows) =>
      sketchProof(
        route,
        'output',
        await signed({ commit, reveal: { ...reveal, output } }, last, GPU),
        joined(delivered),
      )!;
    expect(await verdict(told(joined([row(1), row(3)])))).toMatchObject({
      accused: last.id,
      reason: 'sketch-mismatch',
    });
    expect(await code(told(joined(rows)))).toBe('bad-message');
    expect(await code(told(joined([row(1), row(3)]), [row(1), row(3)]))).toBe('bad-message');
    expect(await code(told(joined(rows), rows.slice(1)))).toBe('bad-message');
  });

  test('shows nothing of the input of a stage that takes tokens', async () => {
    const { commit, reveal } = speak(chunk, { session, stage: 0 });
    const route = await envelope(answerRoute());
    const proof = sketchProof(route, 'input', await signed({ commit, reveal }, first, GPU), bytes(chunk.input))!;
    expect(await code(proof)).toBe('bad-message');
  });
});
