import { ChorusError } from '#shared/errors.ts';
import type { SessionId } from '#shared/ids.ts';
import { kvRoom } from '#shared/route/kv-room.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { RunRequest, RunResult, StageCompute } from '#shared/rows/compute.ts';
import type { GraphSession, LoadedGraph, StageInput } from './loaded-graph.ts';
import { Mutex } from './mutex.ts';
import { createStageRows } from './stage-rows.ts';

export interface ServedStageOptions {
  readonly loaded: LoadedGraph;
  readonly manifest: Manifest;
  readonly range: StageRange;
  /** Sessions with a KV of their own at once; more are refused. */
  readonly maxSessions: number;
}

/** One loaded stage that serves several sessions, one run at a time. */
export interface ServedStage extends StageCompute {
  /** Bytes of weights, and of the KV that `maxSessions` sessions have room for together. */
  readonly memoryBytes: number;
  /**
   * A run from position 0 of a session of its own, in f32 from end to end: each of `counts` positions in turn. Gives
   * the output rows of all of them (logits rows at the head), and the milliseconds of each run. For the probe.
   */
  trace(input: StageInput, counts: readonly number[]): Promise<StageTrace>;
  /** Waits for the run in progress, then frees everything. Sessions are gone. */
  release(): Promise<void>;
}

export interface StageTrace {
  readonly values: Float32Array;
  readonly runMs: readonly number[];
}

interface Session {
  readonly graph: GraphSession;
  readonly capacity: number;
  /** Positions in the KV. */
  length: number;
}

/** Serves a loaded graph, and releases it in the end. */
export function createServedStage({ loaded, manifest, range, maxSessions }: ServedStageOptions): ServedStage {
  const rows = createStageRows(manifest, range);
  const { maxPositions } = manifest.config;
  const room = kvRoom(maxPositions, maxSessions);
  // Every verb waits its turn: a KV must not be cut, freed or grown while a run uses it.
  const turn = new Mutex();
  const sessions = new Map<SessionId, Session>();

  function find(id: SessionId): Session {
    const session = sessions.get(id);
    if (session === undefined) throw new ChorusError('unknown-session', 'this stage has no such session');
    return session;
  }

  async function open(id: SessionId, capacity: number): Promise<void> {
    if (sessions.has(id)) throw new ChorusError('bad-message', 'the session is open already');
    if (capacity > maxPositions)
      throw new ChorusError('too-long', `the model has ${maxPositions} positions, not ${capacity}`);
    // The server counts what runs. A session that takes the place of another stands beside it for a moment.
    const taken = [...sessions.values()].reduce((sum, session) => sum + session.capacity, 0);
    if (taken + capacity > room + maxPositions)
      throw new ChorusError('out-of-memory', `there is room for ${room} positions, and sessions have ${taken} of them`);
    if (sessions.size >= maxSessions)
      throw new ChorusError('out-of-memory', `${maxSessions} sessions are open already`);
    sessions.set(id, { graph: await loaded.open(capacity), capacity, length: 0 });
  }

  async function run({ session: id, input, logitsFrom }: RunRequest, queuedAtMs: number): Promise<RunResult> {
    const startedAtMs = performance.now();
    const session = find(id);
    if (input.start !== session.length) {
      throw new ChorusError('gap', `the rows begin at ${input.start}, the KV ends at ${session.length}`);
    }
    const end = input.start + input.count;
    if (end > session.capacity)
      throw new ChorusError('too-long', `the session has room for ${session.capacity} positions`);
    const values = rows.decode(input);
    const from = range.head ? Math.min(Math.max(logitsFrom, input.start), end) : input.start;
    const wanted = range.head ? Array.from({ length: end - from }, (_, i) => from - input.start + i) : [];

    const decodedAtMs = performance.now();
    const made = range.head
      ? await session.graph.candidates(input.start, input.count, values, wanted)
      : await session.graph.forward(input.start, input.count, values, wanted);
    session.length = end;

    const ranAtMs = performance.now();
    const output = rows.encode(made, from, end - from);
    const timings = {
      queueUs: micros(queuedAtMs, startedAtMs),
      decodeUs: micros(startedAtMs, decodedAtMs),
      runUs: micros(decodedAtMs, ranAtMs),
      encodeUs: micros(ranAtMs, performance.now()),
    };
    return { output, timings };
  }

  function cut(id: SessionId, position: number): void {
    const session = find(id);
    if (position < 0 || position > session.length) {
      throw new ChorusError('gap', `the KV ends at ${session.length}, it cannot be cut at ${position}`);
    }
    if (position === session.length) return;
    session.graph.cut(position);
    session.length = position;
  }

  function close(id: SessionId): void {
    sessions.get(id)?.graph.release();
    sessions.delete(id);
  }

  async function trace(input: StageInput, counts: readonly number[]): Promise<StageTrace> {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const rowLength = input.length / total;
    const graph = await loaded.open(total);
    const parts: Float32Array[] = [];
    const runMs: number[] = [];
    try {
      let start = 0;
      for (const count of counts) {
        const wanted = range.head ? Array.from({ length: count }, (_, i) => i) : [];
        const rows = input.subarray(start * rowLength, (start + count) * rowLength);
        const startedAtMs = performance.now();
        parts.push(await graph.forward(start, count, rows, wanted));
        runMs.push(performance.now() - startedAtMs);
        start += count;
      }
    } finally {
      graph.release();
    }
    return { values: joined(parts), runMs };
  }

  return {
    memoryBytes: loaded.weightBytes + loaded.kvBytes(room),
    open: (id, capacity) => turn.run(() => open(id, capacity)),
    run(request) {
      const queuedAtMs = performance.now();
      return turn.run(() => run(request, queuedAtMs));
    },
    cut: (id, position) => turn.run(() => cut(id, position)),
    close: (id) => turn.run(() => close(id)),
    trace: (input, counts) => turn.run(() => trace(input, counts)),
    release: () =>
      turn.run(async () => {
        for (const id of [...sessions.keys()]) close(id);
        await loaded.release();
      }),
  };
}

function micros(fromMs: number, toMs: number): number {
  return Math.round(1000 * (toMs - fromMs));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
