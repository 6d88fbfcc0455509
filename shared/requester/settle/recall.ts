import { equalBytes } from '../../bytes.ts';
import type { PeerId } from '../../ids.ts';
import type { Commit } from '../../judge/statement.ts';
import { CHUNK_POSITIONS } from '../../limits.ts';
import { chunkEnd } from '../../rows/chunk.ts';
import { CHAIN_START, foldRows, splitRows } from '../../rows/row-chain.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import type { SessionEffect } from '../requester-event.ts';

/** Chunks on their way at once. */
const WINDOW = 4;
/** How long the next chunk may take. */
const CHUNK_TIMEOUT_MS = 5_000;

/**
 * Gets the input rows of a stage back from its replicas, one replica after the other until one has given what all of them
 * committed to.
 */
export class Recall {
  readonly #commit: Commit;
  /** Replicas that were not asked yet. */
  readonly #sources: PeerId[];
  #source: PeerId | null = null;
  #byMs = Infinity;
  /** Up to where rows have been asked for. */
  #asked = 0;
  #received: Uint8Array<ArrayBuffer>[] = [];
  #rows: readonly Uint8Array<ArrayBuffer>[] | null = null;
  #effects: SessionEffect[] = [];

  /** `commit` is what the sources said of the span up to whose end rows are wanted. */
  constructor(commit: Commit, sources: readonly PeerId[]) {
    this.#commit = commit;
    this.#sources = [...sources];
  }

  get deadlineMs(): number {
    return this.#byMs;
  }

  /** One for each position before the span's end; null before they are all there. */
  get rows(): readonly Uint8Array<ArrayBuffer>[] | null {
    return this.#rows;
  }

  get hasFailed(): boolean {
    return this.#source === null && this.#rows === null;
  }

  start(nowMs: number): SessionEffect[] {
    this.#effects = [];
    this.#tryNext(nowMs);
    return this.#effects;
  }

  onMessage(from: PeerId, message: PeerMessage, nowMs: number): SessionEffect[] {
    this.#effects = [];
    if (from !== this.#source || message.type !== 'recalled' || message.session !== this.#commit.session) return [];
    const { rows } = message;
    const start = this.#received.length;
    const isWhole = rows.start === start && rows.start + rows.count === this.#endOf(start);
    if (!isWhole || rows.bytes.length % rows.count !== 0) {
      this.#tryNext(nowMs);
      return this.#effects;
    }
    this.#received.push(...splitRows(rows.bytes, rows.count));
    this.#byMs = nowMs + CHUNK_TIMEOUT_MS;
    if (this.#received.length < this.#commit.end) this.#ask();
    else if (this.#isCommitted()) this.#finish(this.#received);
    else this.#tryNext(nowMs);
    return this.#effects;
  }

  onLost(peer: PeerId, nowMs: number): SessionEffect[] {
    this.#effects = [];
    if (peer === this.#source) this.#tryNext(nowMs);
    return this.#effects;
  }

  onTime(nowMs: number): SessionEffect[] {
    this.#effects = [];
    if (nowMs >= this.#byMs) this.#tryNext(nowMs);
    return this.#effects;
  }

  #tryNext(nowMs: number): void {
    this.#source = this.#sources.shift() ?? null;
    this.#received = [];
    this.#asked = 0;
    this.#byMs = this.#source === null ? Infinity : nowMs + CHUNK_TIMEOUT_MS;
    this.#ask();
  }

  #ask(): void {
    const { session, end } = this.#commit;
    const to = this.#source;
    while (
      to !== null &&
      this.#asked < end &&
      this.#asked < chunkEnd(this.#received.length) + CHUNK_POSITIONS * (WINDOW - 1)
    ) {
      const start = this.#asked;
      this.#asked = this.#endOf(start);
      this.#effects.push({ type: 'send', to, message: { type: 'recall', session, start, end: this.#asked } });
    }
  }

  #endOf(start: number): number {
    return Math.min(chunkEnd(start), this.#commit.end);
  }

  #isCommitted(): boolean {
    const { start, inputFrom, inputTo } = this.#commit;
    const from = foldRows(CHAIN_START, this.#received.slice(0, start));
    return equalBytes(from, inputFrom) && equalBytes(foldRows(from, this.#received.slice(start)), inputTo);
  }

  #finish(rows: readonly Uint8Array<ArrayBuffer>[]): void {
    this.#rows = rows;
    this.#source = null;
    this.#byMs = Infinity;
  }
}
