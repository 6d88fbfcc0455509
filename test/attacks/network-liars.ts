import type { SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { TracedModel } from '../support/traces/tracer.ts';
import type { LiePlan } from './lie-plan.ts';
import { changedCompute, forgetfulCompute, lyingCompute, type RowLieContext } from './lying-compute.ts';
import type { Forge } from './lying-links.ts';
import type { ComputePool } from './memo-compute.ts';
import {
  both,
  commitHonest,
  copyCommit,
  flipped,
  forgeCommits,
  forgeReveals,
  guessReveal,
  late,
  LATE_COMMIT_MS,
  LATE_REVEAL_MS,
  replay,
  revealHonest,
  twoFaced,
  type Stand,
} from './protocol-liars.ts';
import { rowLiars } from './row-liars.ts';

export interface Surroundings {
  readonly model: TracedModel;
  readonly range: StageRange;
  readonly pool: ComputePool;
  readonly plan: LiePlan;
  /** The facts that a liar that changes rows needs to know. */
  readonly rows: Omit<RowLieContext, 'liar'>;
  /** The first chunk of another session's input of this stage. */
  readonly otherInput: readonly Uint8Array<ArrayBuffer>[];
  readonly substitutes: Readonly<Record<Substitute, TracedModel>>;
}

export type Substitute = 'q8' | 'fp32' | 'three' | 'neighbour';

/** A replica that lies, and where. */
export interface NetworkLiar {
  readonly name: string;
  readonly role: 'primary' | 'shadow';
  readonly stages: readonly number[];
  /** True where the lie is in what it says, and not in what it computes. */
  readonly isProtocol: boolean;
  readonly lieIn?: LiePlan['lieIn'];
  compute?(honest: StageCompute, around: Surroundings): StageCompute;
  forge?(stand: Stand): Forge;
}

const BOTH = [0, 1];
const computed = { role: 'primary', stages: BOTH, isProtocol: false } as const;

/** `lie` where the plan says so. */
function told(lie: (around: Surroundings) => StageCompute): NetworkLiar['compute'] {
  return (honest, around) => lyingCompute(honest, lie(around), around.plan);
}

function changedRows(name: string): NetworkLiar['compute'] {
  const liar = rowLiars.find((candidate) => candidate.name === name);
  if (liar === undefined) throw new Error(`no liar called ${name}`);
  return told(({ pool, model, range, rows }) => changedCompute(pool.compute(model, range), { ...rows, liar }));
}

const withRange = (change: (range: StageRange) => StageRange) =>
  told(({ pool, model, range }) => pool.compute(model, change(range)));
const withWeights = (which: Substitute) =>
  told(({ pool, range, substitutes }) => pool.compute(substitutes[which], range));

const weights: readonly (readonly [string, Substitute])[] = [
  ['neighbouring layer’s weights', 'neighbour'],
  ['q8 instead of q4', 'q8'],
  ['fp32 (unrounded) instead of q4', 'fp32'],
  ['3-bit weights', 'three'],
];

const SWAP = 'best two tokens swapped, where they are closest in the span';
/** One chunk of so many is that of a rare liar's lie. */
const RARE = 20;
const isRare: LiePlan['lieIn'] = (chunk, _position, _promptLength, answer) => (7 * answer + chunk) % RARE === 1;

/** Liars in what they compute, as a primary: a lie in every chunk from one on, unless it says otherwise. */
export const computedNetworkLiars: readonly NetworkLiar[] = [
  ...[
    'zeros',
    'sign flip',
    'random, of the right norm',
    'constant push of 0.01 toward a token',
    'noise at 10 × honest',
    'another session’s answer',
    'NaN',
    'Inf',
  ].map((name) => ({ ...computed, name, compute: changedRows(name)! })),
  {
    ...computed,
    name: 'input passed through',
    compute: withRange((range) => (range.embedding ? { ...range, end: range.start } : { ...range, start: range.end }))!,
  },
  {
    ...computed,
    name: 'a skipped layer',
    compute: withRange((range) =>
      range.embedding ? { ...range, end: range.end - 1 } : { ...range, start: range.start + 1 },
    )!,
  },
  ...weights.map(([name, which]) => ({ ...computed, name, compute: withWeights(which)! })),
  {
    ...computed,
    name: 'stale KV: first chunk of another session',
    compute: told(({ pool, model, range, otherInput }) => forgetfulCompute(pool.compute(model, range), otherInput))!,
    lieIn: (chunk) => chunk > 0,
  },
  {
    ...computed,
    name: 'wrong positions: first chunk forgotten',
    compute: told(({ pool, model, range }) => forgetfulCompute(pool.compute(model, range), null))!,
    lieIn: (chunk) => chunk > 0,
  },
  {
    ...computed,
    name: 'sign flip in the prompt only',
    compute: changedRows('sign flip')!,
    lieIn: (_, position, promptLength) => position < promptLength,
  },
  { ...computed, name: 'logits only: best two swapped', stages: [1], compute: changedRows(SWAP)! },
  { ...computed, name: `sign flip in 1 of ${RARE} chunks`, compute: changedRows('sign flip')!, lieIn: isRare },
  {
    ...computed,
    name: 'a lying shadow that accuses the honest',
    role: 'shadow',
    compute: changedRows('sign flip')!,
  },
];

const protocol = { role: 'primary', stages: BOTH, isProtocol: true } as const;
const lazy = { role: 'shadow', stages: BOTH, isProtocol: true } as const;
const foreign = 'fe'.repeat(16) as SessionId;

/** Liars in what they say of what they computed. */
export const protocolLiars: readonly NetworkLiar[] = [
  { ...lazy, name: 'copying the other’s commit', forge: both(forgeCommits(copyCommit), forgeReveals(guessReveal)) },
  { ...protocol, name: 'committing late', forge: forgeCommits(late(LATE_COMMIT_MS)) },
  { ...lazy, name: 'a shadow that commits late', forge: forgeCommits(late(LATE_COMMIT_MS)) },
  { ...protocol, name: 'revealing late', forge: forgeReveals(late(LATE_REVEAL_MS)) },
  { ...protocol, name: 'never committing', forge: forgeCommits(() => []) },
  { ...protocol, name: 'never revealing', forge: forgeReveals(() => []) },
  {
    ...protocol,
    name: 'sending a lie, revealing the honest tensor',
    compute: changedRows('sign flip')!,
    forge: forgeReveals(revealHonest),
  },
  {
    ...protocol,
    name: 'sending a lie, committing to and revealing the honest tensor',
    stages: [0],
    compute: changedRows('sign flip')!,
    forge: both(forgeCommits(commitHonest), forgeReveals(revealHonest)),
  },
  {
    ...lazy,
    name: 'a shadow that reveals another tensor than committed',
    forge: forgeReveals((reveal) => [{ ...reveal, output: new Uint8Array(reveal.output.length) }]),
  },
  { ...protocol, name: 'different bytes to primary and shadow', stages: [0], forge: twoFaced },
  {
    ...protocol,
    name: 'committing twice, differently',
    forge: forgeCommits((commit) => [commit, { ...commit, outputTo: flipped(commit.outputTo) }]),
  },
  {
    ...protocol,
    name: 'revealing twice, differently',
    forge: forgeReveals((reveal) => [reveal, { ...reveal, output: new Uint8Array(reveal.output.length) }]),
  },
  {
    ...protocol,
    name: 'committing to wrong positions',
    forge: forgeCommits((commit) => [{ ...commit, end: Math.max(commit.start + 1, commit.end - 1) }]),
  },
  { ...protocol, name: 'the commit of the span before', forge: forgeCommits(replay), lieIn: (chunk) => chunk > 0 },
  {
    ...protocol,
    name: 'a commit of another session',
    forge: forgeCommits((commit) => [{ ...commit, session: foreign }]),
  },
  {
    ...protocol,
    name: 'revealing under another seed',
    forge: forgeReveals((reveal) => [{ ...reveal, seed: flipped(reveal.seed) }]),
  },
  {
    ...protocol,
    name: 'other runs than it made',
    forge: forgeCommits((commit) => [{ ...commit, shapes: flipped(commit.shapes) }]),
  },
];
