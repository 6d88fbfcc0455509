import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import type { Candidates } from '#shared/rows/logits-row.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import type { RunRequest, RunResult } from '#shared/rows/compute.ts';
import { joined } from '../../support/traces/span-comparison.ts';
import { decodeCandidateRow, encodeCandidateRow } from '../logits-rows.ts';
import { startForger, type Mischief } from './forgers.ts';
import type { MetRun, ThreadLies, Told, Twin } from './hostile-thread.ts';

/** A liar among the volunteers of a whole network. */
export interface AnswerLiar {
  readonly name: string;
  /** Keys that lie at once, each in this way. */
  readonly keys: number;
  /** Made anew for each key; `stand` tells what no liar can know. */
  readonly lies: (stand: { readonly isAsking: boolean }) => ThreadLies;
  /** What it does besides lending. */
  readonly besides?: (url: string) => Promise<Mischief>;
  /** The temperature at which it is asked. */
  readonly temperature: number;
}

const INVENTED = 'webgpu/apple/m9';
const vocabularySize = 2 ** 20;

const honest = (run: MetRun): Told => ({ result: run.result });

function withRows(result: RunResult, change: (row: Candidates) => Candidates): RunResult {
  const { output } = result;
  if (output.kind !== 'logits' || output.count === 0) return result;
  const rows = splitRows(output.bytes, output.count).map((row) =>
    encodeCandidateRow(change(decodeCandidateRow(row, vocabularySize))),
  );
  return { ...result, output: { ...output, bytes: joined(rows) } };
}

function withHidden(result: RunResult, change: (value: number, at: number) => number): RunResult {
  const { output } = result;
  if (output.kind !== 'hidden' || output.count === 0) return result;
  const values = decodeF16(output.bytes).map(change);
  return { ...result, output: { ...output, bytes: encodeF16(values) } };
}

/** The best two tokens change places wherever their logits lie closer than `gap`. */
function steered(gap: number) {
  return (row: Candidates): Candidates => {
    const [first, second] = row.logits;
    // Equal logits have a fixed order.
    if (second === undefined || first === second || first! - second > gap) return row;
    const tokens = row.tokens.slice();
    [tokens[0], tokens[1]] = [row.tokens[1]!, row.tokens[0]!];
    return { ...row, tokens };
  };
}

/** The second token's logit is raised, by as much of the row's size as a careless limit would pass. */
function pushed(by: number) {
  return (row: Candidates): Candidates => {
    const [first, second] = row.logits;
    if (second === undefined || first! - second > by) return row;
    const logits = row.logits.slice();
    logits[0] = Math.fround(first! - by / 2);
    logits[1] = Math.fround(second + by / 2);
    if (logits[1] <= logits[0]) return { ...row, logits };
    const tokens = row.tokens.slice();
    [tokens[0], tokens[1]] = [row.tokens[1]!, row.tokens[0]!];
    [logits[0], logits[1]] = [logits[1], logits[0]];
    return { ...row, tokens, logits };
  };
}

const lying = (change: (result: RunResult) => RunResult, extra: Omit<ThreadLies, 'tell'> = {}) => {
  return (): ThreadLies => ({ ...extra, tell: ({ result }) => ({ result: change(result) }) });
};

/** Honest until it has opened so many sessions: those that tried it are among them. */
const after = (sessions: number, tell: (run: MetRun) => Told, extra: Omit<ThreadLies, 'tell'> = {}) => {
  return (): ThreadLies => ({ ...extra, tell: (run) => (run.sessions <= sessions ? honest(run) : tell(run)) });
};

const steer = (gap: number) => (result: RunResult) => withRows(result, steered(gap));
const swap = steer(Infinity);
const flip = (result: RunResult) => withHidden(swap(result), (value) => -value);
const bend = (result: RunResult) =>
  withHidden(withRows(result, pushed(2e-3)), (value, at) => value * (1 + (at % 2 === 0 ? 5e-4 : -5e-4)));

const atBoth = (liar: Omit<AnswerLiar, 'temperature'>): AnswerLiar[] =>
  [0, 1].map((temperature) => ({ ...liar, name: `${liar.name}, temperature ${temperature}`, temperature }));

/** What its second thread computes, from a run of each session on, once the key was tried. */
const asTwin = (twin: Twin, from: number) =>
  after(
    1,
    ({ runs, result, other }) => {
      if (other === null) throw new Error('the second thread of the liar computes nothing');
      return { result: runs < from ? result : other };
    },
    { twin },
  );

/** One stretch of weights, in the middle of a layer, off by one step each. */
function oneMatrix(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length < 2 ** 15) return bytes;
  const [start, length] = [bytes.length >> 1, Math.min(2 ** 13, bytes.length >> 3)];
  return bytes.map((byte, at) => (at >= start && at < start + length ? byte ^ 0x11 : byte));
}

/** Other keys and values of the first chunk than its rows have. */
function otherFirst(request: RunRequest, runs: number): RunRequest {
  const { input } = request;
  if (runs > 1 || input.count < 2) return request;
  const rows = splitRows(input.bytes, input.count);
  return { ...request, input: { ...input, bytes: joined([rows[1]!, rows[0]!, ...rows.slice(2)]) } };
}

/** Lies only where another key of the same liar computes the same stage of the same session. */
function selectivePair(): (stand: unknown) => ThreadLies {
  const holders = new Map<string, Set<symbol>>();
  return () => {
    const self = Symbol('key');
    return {
      layerMs: 0.001,
      tell({ request: { session, input }, result }) {
        const place = `${session} ${input.kind}`;
        const held = (holders.get(place) ?? new Set()).add(self);
        holders.set(place, held);
        return { result: held.size > 1 ? flip(result) : result };
      },
    };
  };
}

export const answerLiars: readonly AnswerLiar[] = [
  ...[0.01, 0.1, 0.5].flatMap((gap) =>
    atBoth({
      name: `invented class, steers within ${gap}`,
      keys: 1,
      lies: lying(steer(gap), { numericClass: INVENTED, layerMs: 0.001 }),
    }),
  ),
  ...atBoth({
    name: 'invented class, bends rows within careless limits',
    keys: 1,
    lies: lying(bend, { numericClass: INVENTED, layerMs: 0.001 }),
  }),
  {
    name: 'invented class and arbiters in league',
    keys: 3,
    lies: lying(steer(0.5), { numericClass: INVENTED, layerMs: 0.001 }),
    temperature: 0,
  },
  { name: 'other rows, under the engine’s class', keys: 1, lies: lying(flip, { layerMs: 0.001 }), temperature: 0 },
  {
    name: 'other rows once it was tried',
    keys: 1,
    lies: after(1, ({ result }) => ({ result: flip(result) })),
    temperature: 0,
  },
  {
    name: 'sleeper, lies from its fourth session on',
    keys: 1,
    lies: after(3, ({ result }) => ({ result: flip(result) })),
    temperature: 0,
  },
  {
    name: 'lies in one run of twenty',
    keys: 1,
    lies: after(1, (run) => (run.runs % 20 === 0 ? { result: flip(run.result) } : honest(run))),
    temperature: 0,
  },
  { name: 'black hole', keys: 1, lies: () => ({ layerMs: 0.001, tell: () => 'silence' }), temperature: 0 },
  { name: 'black holes once they were tried', keys: 6, lies: after(1, () => 'silence'), temperature: 0 },
  {
    name: 'tarpit of 1.5 s a run once it was tried',
    keys: 1,
    lies: after(1, ({ result }) => ({ result, delayMs: 1500 })),
    temperature: 0,
  },
  {
    name: 'a pair that lies alike once it was tried',
    keys: 2,
    lies: after(1, ({ result }) => ({ result: flip(result) }), { layerMs: 0.001 }),
    temperature: 0,
  },
  { name: 'a pair that lies only in each other’s company', keys: 2, lies: selectivePair(), temperature: 0 },
  {
    name: 'one matrix of its layers is another, once it was tried',
    keys: 1,
    lies: asTwin({ weights: oneMatrix }, 1),
    temperature: 0,
  },
  {
    name: 'other keys and values of the first chunk, once it was tried',
    keys: 1,
    lies: asTwin({ feed: otherFirst }, 2),
    temperature: 0,
  },
  {
    name: 'claims to take no time and takes 300 ms a run',
    keys: 1,
    lies: () => ({ layerMs: 0.001, tell: ({ result }) => ({ result, delayMs: 300 }) }),
    temperature: 0,
  },
  {
    name: 'honest in hidden sessions alone, as if it knew',
    keys: 1,
    lies: (stand) => ({ tell: ({ result }) => ({ result: stand.isAsking ? flip(result) : result }) }),
    temperature: 0,
  },
  {
    name: 'forged credit and complaints of fresh requesters',
    keys: 0,
    lies: () => ({ tell: honest }),
    besides: startForger,
    temperature: 0,
  },
  {
    name: 'falls silent in the middle of an answer',
    keys: 1,
    lies: after(1, (run) => (run.runs > 8 ? 'silence' : honest(run))),
    temperature: 0,
  },
];
