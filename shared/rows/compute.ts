import type { SessionId } from '../ids.ts';

import type { Rows } from './rows.ts';

/** Where the time of one run went, in microseconds. */
export interface RunTimings {
  /** Waiting for the thread, while other sessions ran. */
  readonly queueUs: number;
  readonly decodeUs: number;
  readonly runUs: number;
  readonly encodeUs: number;
}

export interface RunRequest {
  readonly session: SessionId;
  /** Tokens for a stage with the embedding, hidden rows otherwise. Must begin where the session's KV ends. */
  readonly input: Rows;
  /** A stage with the head answers with logits for positions >= logitsFrom only (possibly none). Others ignore it. */
  readonly logitsFrom: number;
}

export interface RunResult {
  readonly output: Rows;
  readonly timings: RunTimings;
}

/**
 * One loaded stage. The page, Node and tests each bring their own. Failures reject with a ChorusError:
 * `unknown-session`, `gap` (input does not begin at the KV's end), `too-long` (capacity), `out-of-memory`,
 * `worker-lost` or `device-lost` (every session is then gone).
 */
export interface StageCompute {
  /** Makes room for `capacity` positions. */
  open(session: SessionId, capacity: number): Promise<void>;
  run(request: RunRequest): Promise<RunResult>;
  /** Forgets everything at `position` and after. */
  cut(session: SessionId, position: number): Promise<void>;
  close(session: SessionId): Promise<void>;
}
