import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

type Point = NetworkSnapshot['history'][number];

export const HISTORY_STEP_MS = 10_000;
const HISTORY_POINTS = 360;

/** The last hour, a point every ten seconds. */
export class NetworkHistory {
  #points: readonly Point[] = [];
  #tokensBefore: ReadonlyMap<string, number> = new Map();
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  get points(): readonly Point[] {
    return this.#points;
  }

  /**
   * Adds a point. `tokens` are the running totals of those volunteers that every token passes exactly once (the
   * holders of the head); a total that fell belongs to a new sitting.
   */
  add(
    nowMs: number,
    wallMs: number,
    counts: { volunteers: number; sessions: number },
    tokens: ReadonlyMap<string, number>,
  ): void {
    let made = 0;
    for (const [id, total] of tokens) {
      const before = this.#tokensBefore.get(id) ?? total;
      made += total >= before ? total - before : total;
    }
    const seconds = Math.max(0.001, (nowMs - this.#atMs) / 1000);
    this.#points = [...this.#points, { atMs: wallMs, ...counts, tokensPerSecond: made / seconds }].slice(
      -HISTORY_POINTS,
    );
    this.#tokensBefore = new Map(tokens);
    this.#atMs = nowMs;
  }
}
