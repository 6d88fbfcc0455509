/** Time as an argument: the real one, or a fake one in tests. */
export interface Clock {
  /** Milliseconds since 1970, as Date.now gives. For dates that leave the machine. */
  wallMs(): number;
  /** Milliseconds that only ever grow, with fractions. For durations. */
  nowMs(): number;
  /** Calls `task` once after `delayMs`; the returned function takes the call back. */
  setTimer(task: () => void, delayMs: number): () => void;
}

/** One moment on both clocks. */
export interface Now {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** Randomness as an argument: `count` bytes fit for keys and nonces. */
export type RandomBytes = (count: number) => Uint8Array<ArrayBuffer>;
