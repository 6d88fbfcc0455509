import type { SessionId } from '#shared/ids.ts';
import { rowValues } from '#shared/judge/sketch.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { encodeF16 } from '#shared/model/f16.ts';
import type { RunRequest, RunResult, StageCompute } from '#shared/rows/compute.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { joined } from '../support/traces/span-comparison.ts';
import { decodeCandidateRow, encodeCandidateRow } from './logits-rows.ts';
import type { RowLiar } from './row-liars.ts';

/** Says whether the liar lies in a run, and keeps count of where it did. */
export interface Occasions {
  lies(session: SessionId, rows: Rows): boolean;
}

/** A liar's compute: `lie` where it takes its chance, the honest one otherwise. Both see every run, so that either KV is whole. */
export function lyingCompute(honest: StageCompute, lie: StageCompute, occasions: Occasions): StageCompute {
  return {
    async open(session, capacity) {
      await honest.open(session, capacity);
      if (lie !== honest) await lie.open(session, capacity);
    },
    async run(request) {
      const truth = await honest.run(request);
      const told = lie === honest ? truth : await lie.run(request);
      return occasions.lies(request.session, truth.output) ? told : truth;
    },
    async cut(session, position) {
      await honest.cut(session, position);
      if (lie !== honest) await lie.cut(session, position);
    },
    async close(session) {
      await honest.close(session);
      if (lie !== honest) await lie.close(session);
    },
  };
}

export interface RowLieContext {
  readonly liar: RowLiar;
  readonly boundary: 'f16' | 'f32';
  readonly vocabularySize: number;
  readonly channelScale: Float32Array;
  readonly wanted: Float32Array;
  readonly honestLevel: number;
  /** Honest rows of another session, a chunk of them. */
  readonly others: readonly Uint8Array<ArrayBuffer>[];
  readonly random: () => number;
}

/** The output of `honest`, changed row by row. */
export function changedCompute(honest: StageCompute, context: RowLieContext): StageCompute {
  return { ...honest, run: async (request) => changedResult(await honest.run(request), request, context) };
}

function changedResult(result: RunResult, { input }: RunRequest, context: RowLieContext): RunResult {
  const { output } = result;
  if (output.count === 0) return result;
  const { liar, random, honestLevel: honest } = context;
  const encoded = splitRows(output.bytes, output.count);
  const others = encoded.map((_, t) => context.others[(output.start + t) % context.others.length]!);
  let rows: Uint8Array<ArrayBuffer>[] | undefined;
  if (output.kind === 'logits') {
    const { vocabularySize } = context;
    const decode = (list: readonly Uint8Array<ArrayBuffer>[]) =>
      list.map((row) => decodeCandidateRow(row, vocabularySize));
    const span = { kind: 'logits' as const, rows: decode(encoded), others: decode(others) };
    rows = liar.logits({ ...span, vocabularySize, honest, random })?.map(encodeCandidateRow);
  } else {
    const { boundary, channelScale, wanted } = context;
    const decode = (list: readonly Uint8Array<ArrayBuffer>[]) => list.map((row) => rowValues(row, boundary));
    const values = decode(encoded);
    const base =
      input.kind === 'tokens'
        ? values.map((row) => new Float32Array(row.length))
        : decode(splitRows(input.bytes, input.count));
    const span = { kind: 'hidden' as const, rows: values, base, others: decode(others), channelScale, wanted };
    rows = liar
      .hidden({ ...span, hiddenSize: channelScale.length, honest, random })
      ?.map((row) => encodeF16(Float32Array.from(row)));
  }
  return rows === undefined ? result : { ...result, output: { ...output, bytes: joined(rows) } };
}

/** The real stage without the session's first chunk, or with another session's in its place. */
export function forgetfulCompute(honest: StageCompute, first: readonly Uint8Array<ArrayBuffer>[] | null): StageCompute {
  const offset = first === null ? CHUNK_POSITIONS : 0;
  return {
    ...honest,
    async run({ session, input, logitsFrom }) {
      const isFirst = input.start < CHUNK_POSITIONS;
      if (isFirst && first === null) return { output: { ...input, bytes: new Uint8Array() }, timings: NO_TIME };
      const bytes = isFirst ? joined(first!.slice(input.start, input.start + input.count)) : input.bytes;
      const moved = { ...input, start: input.start - offset, bytes };
      const { output, timings } = await honest.run({ session, input: moved, logitsFrom: logitsFrom - offset });
      return { output: { ...output, start: output.start + offset }, timings };
    },
    cut: (session, position) => honest.cut(session, Math.max(0, position - offset)),
  };
}

const NO_TIME: RunResult['timings'] = { queueUs: 0, decodeUs: 0, runUs: 0, encodeUs: 0 };
