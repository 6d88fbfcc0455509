/** Where one token's lap went, in milliseconds; sums over the stages of the route. */
export interface LapSplit {
  readonly lapMs: number;
  readonly queueMs: number;
  readonly decodeMs: number;
  readonly runMs: number;
  readonly encodeMs: number;
}

export interface BenchRun {
  readonly tokens: readonly number[];
  readonly firstTokenMs: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
  /** One for each token after the first; empty where there is no route. */
  readonly laps: readonly LapSplit[];
  /** Where volunteers made it. */
  readonly network?: NetworkRun;
}

export interface NetworkRun {
  readonly session: string;
  readonly primaries: readonly string[];
  readonly tier: string;
  /** From each token to the verdict on it. */
  readonly checkDelaysMs: readonly number[];
}

export interface RunOptions {
  /** Replicas besides the primary that each stage is wished to have. */
  readonly shadows: number;
}

/** One way to get greedy tokens. */
export interface Contender {
  generate(prompt: readonly number[], count: number, options: RunOptions): Promise<BenchRun>;
}

declare global {
  interface Window {
    chorusBench?: {
      /** Gets one contender ready; it stays in the page for `run`. */
      prepare(name: 'transformers' | 'worker' | 'network'): Promise<void>;
      run(prompt: readonly number[], count: number, options: RunOptions): Promise<BenchRun>;
    };
  }
}
