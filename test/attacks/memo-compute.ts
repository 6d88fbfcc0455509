import { createHash } from 'node:crypto';
import type { SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { RunRequest, RunResult, StageCompute } from '#shared/rows/compute.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { Mutex } from '../../worker/mutex.ts';
import type { ServedStage } from '../../worker/served-stage.ts';
import { loadEngineStage } from '../support/engine-stage.ts';
import type { TracedModel } from '../support/traces/tracer.ts';

type Step =
  | { readonly type: 'run'; readonly input: Rows; readonly logitsFrom: number }
  | { readonly type: 'cut'; readonly position: number };

const TIMINGS: RunResult['timings'] = { queueUs: 0, decodeUs: 0, runUs: 0, encodeUs: 0 };
/** More than any network here has open at once. */
const MAX_SESSIONS = 64;

/**
 * Real stages in the engine, which gives the same bits for the same rows whenever it is asked: what was computed once is
 * not computed again. Stages that nobody used for a while stay loaded.
 */
export class ComputePool {
  readonly #stages = new Map<string, Promise<ServedStage>>();
  readonly #outputs = new Map<string, Rows>();
  readonly #open = new Set<MemoSession>();
  // One thread computes for all of them.
  readonly #turn = new Mutex();
  #sessions = 0;
  /** Calls that are not answered yet. */
  pending = 0;
  /** Runs that were computed, and that were known. */
  readonly counts = { computed: 0, known: 0 };

  compute(model: TracedModel, range: StageRange): StageCompute {
    const stageName = JSON.stringify([model.name, range]);
    const sessions = new Map<SessionId, MemoSession>();
    const busy = async <Value>(task: () => Promise<Value>): Promise<Value> => {
      this.pending++;
      try {
        return await this.#turn.run(task);
      } finally {
        this.pending--;
      }
    };
    const stage = (): Promise<ServedStage> => {
      const loaded = this.#stages.get(stageName) ?? loadEngineStage(model, range, MAX_SESSIONS);
      this.#stages.set(stageName, loaded);
      return loaded;
    };
    const find = (session: SessionId): MemoSession => {
      const found = sessions.get(session);
      if (found === undefined) throw new Error('no such session');
      return found;
    };
    return {
      open: async (session, capacity) => {
        const own = (++this.#sessions).toString(16).padStart(32, '0') as SessionId;
        const opened = new MemoSession(own, capacity, stageName, stage);
        sessions.set(session, opened);
        this.#open.add(opened);
      },
      run: (request) => busy(() => this.#run(find(request.session), request)),
      cut: (session, position) => busy(async () => find(session).add({ type: 'cut', position })),
      close: (session) =>
        busy(async () => {
          const closed = sessions.get(session);
          if (closed === undefined) return;
          await closed.close();
          sessions.delete(session);
          this.#open.delete(closed);
        }),
    };
  }

  /** Closes what a network whose clock has stopped left open. */
  async closeAll(): Promise<void> {
    for (const session of this.#open) await session.close();
    this.#open.clear();
  }

  async #run(session: MemoSession, { input, logitsFrom }: RunRequest): Promise<RunResult> {
    session.add({ type: 'run', input, logitsFrom });
    const known = this.#outputs.get(session.key);
    if (known !== undefined) {
      this.counts.known++;
      return { output: known, timings: TIMINGS };
    }
    this.counts.computed++;
    const output = await session.catchUp();
    this.#outputs.set(session.key, output);
    return { output, timings: TIMINGS };
  }
}

/** A session that reaches the real stage only once something of it is not known. */
class MemoSession {
  readonly #id: SessionId;
  readonly #capacity: number;
  readonly #stage: () => Promise<ServedStage>;
  #undone: Step[] = [];
  #isOpen = false;
  #key: string;

  constructor(id: SessionId, capacity: number, stageName: string, stage: () => Promise<ServedStage>) {
    this.#id = id;
    this.#capacity = capacity;
    this.#stage = stage;
    this.#key = createHash('sha256').update(stageName).digest('hex');
  }

  /** Names everything that happened in the session so far. */
  get key(): string {
    return this.#key;
  }

  add(step: Step): void {
    const hash = createHash('sha256').update(this.#key);
    if (step.type === 'cut') hash.update(`cut ${step.position}`);
    else hash.update(`run ${step.input.start} ${step.input.count} ${step.logitsFrom}`).update(step.input.bytes);
    this.#key = hash.digest('hex');
    this.#undone.push(step);
  }

  /** Does what the real stage has not seen yet, and gives the output of the last run. */
  async catchUp(): Promise<Rows> {
    const stage = await this.#stage();
    if (!this.#isOpen) await stage.open(this.#id, this.#capacity);
    this.#isOpen = true;
    let output: Rows | null = null;
    for (const step of this.#undone) {
      if (step.type === 'cut') await stage.cut(this.#id, step.position);
      else ({ output } = await stage.run({ session: this.#id, ...step }));
    }
    this.#undone = [];
    if (output === null) throw new Error('nothing was run');
    return output;
  }

  async close(): Promise<void> {
    if (this.#isOpen) await (await this.#stage()).close(this.#id);
    this.#isOpen = false;
  }
}
