import type { Envelope } from '../../crypto/envelope.ts';
import { ChorusError } from '../../errors.ts';
import type { PeerId, SessionId } from '../../ids.ts';
import { CONNECT_TIMEOUT_MS, LAP_TIMEOUT_MS, OPEN_TIMEOUT_MS, SESSION_IDLE_MS } from '../../limits.ts';
import type { FedRun } from '../../receipt/evidence/evidence.ts';
import { leaseMs, type Route } from '../../route/route.ts';
import { chunkEnd, chunkOf } from '../../rows/chunk.ts';
import { encodeTokens } from '../../rows/rows.ts';
import type { Drawn, Sampling } from '../../rows/sampler.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';
import type { CutMessage } from '../../wire/row-order.ts';
import { checkDigest, rowsMessage } from '../../wire/rows-message.ts';
import { ShadowFeed } from '../../wire/shadow-feed.ts';
import type { Release, Rest, SignedRoute } from '../requester-event.ts';
import { Pace } from './pace.ts';
import { readLogits, Returns, type Lap, type Returned } from './returns.ts';

/** A resting session is given back a little before its replicas would end it. */
const IDLE_MS = SESSION_IDLE_MS - 20_000;
/** A route this close to its end is not begun with. */
const LEASE_MARGIN_MS = 10_000;

/** Positions that the primaries run at once. */
export interface Run {
  readonly start: number;
  readonly end: number;
  /** The first position whose logits are wanted; any number >= `end` where none are. */
  readonly logitsFrom: number;
}

/** Rows on their way round. */
interface Flight extends Run {
  readonly sentMs: number;
}

/** The oldest rows on their way round, for which the requester waits. */
export interface Awaited {
  readonly sequence: number;
  /** Positions. */
  readonly count: number;
  /** Since when nothing but these is waited for. */
  readonly sinceMs: number;
}

/** The requester's side of one session: the tokens in the replicas' KV, and those on their way. */
export class RequesterSession {
  readonly route: Route;
  readonly envelope: Envelope;
  readonly leaseEndMs: number;
  /** Stage 0's shadows get what its primary gets. */
  readonly shadows: ShadowFeed;
  /** Volunteers that failed in this session, for the server to hear at its end. */
  readonly faults: Release['faults'] = [];
  /** Volunteers that it is given up for, because they were slow or silent. */
  readonly stalled: PeerId[] = [];
  #step: 'connecting' | 'opening' | 'open' = 'connecting';
  /** When the session must be open; then when it has rested too long. */
  #stepByMs: number;
  #lapByMs = Infinity;
  /** Tokens sent, in the order of their positions. */
  #sent: number[] = [];
  #runs: Run[] = [];
  /** Runs of which a cut left something, as they were sent. */
  readonly #fed: FedRun[] = [];
  /** Tokens that were drawn from this session's logits, by position. */
  readonly #drawn = new Map<number, Drawn>();
  readonly #returns = new Returns();
  readonly pace: Pace;
  #arrivedMs = -Infinity;
  #epoch = 0;
  #sequence = 0;
  #flights = new Map<number, Flight>();
  /** Flights of an answer that was given up: they are waited for, but tell nothing. */
  #forgotten = new Set<number>();
  #prompt: { done: number; readonly total: number } | null = null;
  #tokens = 0;
  #positions = 0;
  #lapsMs = 0;

  /** `patience` as of `Pace`. */
  constructor({ route, envelope }: SignedRoute, nowMs: number, patience = 1) {
    this.route = route;
    this.envelope = envelope;
    this.leaseEndMs = nowMs + leaseMs(route);
    this.shadows = new ShadowFeed(route.stages[0]!.shadows.map(({ id }) => id));
    this.#stepByMs = nowMs + CONNECT_TIMEOUT_MS;
    this.pace = new Pace(route.stages, patience);
  }

  get id(): SessionId {
    return this.route.session;
  }

  get first(): PeerId {
    return this.route.stages[0]!.primary.id;
  }

  get last(): PeerId {
    return this.route.stages.at(-1)!.primary.id;
  }

  /** How often the session was cut. */
  get epoch(): number {
    return this.#epoch;
  }

  get step(): 'connecting' | 'opening' | 'open' {
    return this.#step;
  }

  /** The time by which something must have happened. */
  get deadlineMs(): number {
    if (this.#stepByMs !== Infinity) return this.#stepByMs;
    return this.#flights.size === 0 ? Infinity : this.#lapByMs;
  }

  /** Null while nothing is waited for. */
  get awaited(): Awaited | null {
    const [oldest] = this.#flights;
    if (oldest === undefined || this.isResting) return null;
    const [sequence, { start, end, sentMs }] = oldest;
    return { sequence, count: end - start, sinceMs: Math.max(sentMs, this.#arrivedMs) };
  }

  /** Positions the replicas hold, once what is on its way has arrived. */
  get length(): number {
    return this.#sent.length;
  }

  /** The runs of positions [0, end). A run that a cut went into is as short as what is left of it. */
  runs(end: number): Run[] {
    return this.#runs.filter(({ start }) => start < end).map((run) => ({ ...run, end: Math.min(run.end, end) }));
  }

  /** The tokens of all positions. */
  get tokens(): number[] {
    return [...this.#sent];
  }

  /** The runs of the primaries, as far as they still hold something of them. */
  get fedRuns(): FedRun[] {
    return [...this.#fed];
  }

  /** The tokens of positions [0, end), one row of bytes each. */
  tokenRows(end: number): Uint8Array<ArrayBuffer>[] {
    return this.#sent.slice(0, end).map((token) => encodeTokens([token]));
  }

  /** True if its lease is near its end. */
  isEnding(nowMs: number): boolean {
    return nowMs >= this.leaseEndMs - LEASE_MARGIN_MS;
  }

  toOpening(nowMs: number): void {
    this.#step = 'opening';
    this.#stepByMs = nowMs + OPEN_TIMEOUT_MS;
  }

  toOpen(): void {
    this.#step = 'open';
    this.#stepByMs = Infinity;
  }

  /** True while it waits for nothing but the next answer. */
  get isResting(): boolean {
    return this.#step === 'open' && this.#stepByMs !== Infinity;
  }

  /**
   * Waits for nothing but the next answer, for a bounded time and not longer than another could begin; from then on flights
   * under way tell nothing.
   */
  rest(nowMs: number): void {
    this.#stepByMs = Math.min(nowMs + IDLE_MS, this.leaseEndMs - LEASE_MARGIN_MS);
    this.#forgotten = new Set(this.#flights.keys());
    this.#prompt = null;
    // What was drawn for an answer that is over is a part of the next prompt.
    this.#drawn.clear();
  }

  /**
   * True if `align` would cut off the wait for logits of rows that stay: the replicas gave them out, and the
   * requester's chain of logits would never equal theirs.
   */
  isTornBy(history: readonly number[]): boolean {
    const shared = this.#sharedWith(history);
    const isCut = shared < this.#sent.length;
    return isCut && [...this.#flights.values()].some((flight) => wantedOf(flight) > 0 && flight.logitsFrom < shared);
  }

  #sharedWith(history: readonly number[]): number {
    const most = Math.min(this.#sent.length, history.length - 1);
    let shared = 0;
    while (shared < most && this.#sent[shared] === history[shared]) shared += 1;
    return shared;
  }

  /** Makes ready to send `history`: returns the cut back to what the session shares with it, if it holds more. */
  align(history: readonly number[], nowMs: number): CutMessage | null {
    this.#stepByMs = Infinity;
    this.#lapByMs = nowMs + LAP_TIMEOUT_MS;
    const shared = this.#sharedWith(history);
    this.#prompt = { done: 0, total: history.length - shared };
    return this.#cut(shared);
  }

  /** Cuts the session back to `position`, before which everything has come back; null if it holds no more than that. */
  cutBack(position: number, nowMs: number): CutMessage | null {
    this.#lapByMs = nowMs + LAP_TIMEOUT_MS;
    return this.#cut(position);
  }

  #cut(position: number): CutMessage | null {
    if (position >= this.#sent.length) return null;
    this.#sent.length = position;
    this.#epoch += 1;
    this.#flights.clear();
    this.#forgotten.clear();
    this.#returns.cut(position);
    this.#runs = this.runs(position);
    while ((this.#fed.at(-1)?.start ?? -1) >= position) this.#fed.pop();
    // The token at the cut was drawn from the row before it, which stays.
    for (const drawn of this.#drawn.keys()) if (drawn > position) this.#drawn.delete(drawn);
    return { type: 'cut', session: this.id, epoch: this.#epoch, position };
  }

  /**
   * The rows of `history` to send now: those not sent yet, in chunks, `window` of them on the way at most. Logits are
   * wanted from `logitsFrom` on.
   */
  nextRows(history: readonly number[], logitsFrom: number, window: number, nowMs: number): RowsMessage[] {
    const messages: RowsMessage[] = [];
    if (this.#flights.size === 0) this.#lapByMs = nowMs + LAP_TIMEOUT_MS;
    while (this.#sent.length < history.length && this.#flights.size < window) {
      const start = this.#sent.length;
      const end = Math.min(chunkEnd(start), history.length);
      const tokens = history.slice(start, end);
      const flight = { start, end, logitsFrom, sentMs: nowMs };
      const message = this.#rows(flight, tokens);
      messages.push(message);
      this.#flights.set(this.#sequence, flight);
      this.#runs.push(flight);
      this.#fed.push({ start, count: end - start, logits: wantedOf(flight) });
      this.#returns.expect(message, this.route.stages.length);
      this.#sent.push(...tokens);
      this.#positions += tokens.length;
      this.#sequence += 1;
    }
    return messages;
  }

  #rows({ start, end, logitsFrom }: Flight, tokens: readonly number[]): RowsMessage {
    return rowsMessage({
      session: this.id,
      stage: 0,
      epoch: this.#epoch,
      sequence: this.#sequence,
      chunk: chunkOf(start),
      logitsFrom,
      rows: { kind: 'tokens', start, count: end - start, bytes: encodeTokens(tokens) },
      hops: [],
    });
  }

  /**
   * Takes rows that came back; null if they are of no use: doubled, from before a cut, or of an answer given up. Throws
   * `bad-message` or `digest-mismatch` if they are not what was asked for.
   */
  take(message: RowsMessage, vocabularySize: number, nowMs: number): Lap | null {
    const flight = this.#flights.get(message.sequence);
    if (flight === undefined || message.epoch !== this.#epoch) return null;
    const { rows } = message;
    const wanted = wantedOf(flight);
    if (message.stage !== this.route.stages.length || rows.count !== wanted) {
      throw new ChorusError('bad-message', `${rows.count} rows of logits came where ${wanted} were asked for`);
    }
    checkDigest(message);
    const candidates = readLogits(rows.bytes, wanted, vocabularySize);
    this.#flights.delete(message.sequence);
    this.#returns.arrived(message);
    this.pace.note(flight.end - flight.start, nowMs - Math.max(flight.sentMs, this.#arrivedMs));
    this.#arrivedMs = nowMs;
    this.#lapByMs = nowMs + LAP_TIMEOUT_MS;
    if (this.#forgotten.delete(message.sequence)) return null;
    const prompt = this.#prompt;
    if (prompt !== null) prompt.done += flight.end - flight.start;
    if (prompt !== null && prompt.done >= prompt.total) this.#prompt = null;
    return { lapMs: nowMs - flight.sentMs, prompt: prompt && { ...prompt }, end: flight.end, candidates };
  }

  /** The rows that came back since the last call, in the order of sending. */
  takeReturned(): Returned[] {
    return this.#returns.take();
  }

  /** A token was drawn from the last logits. */
  drew(token: number, position: number, sampling: Sampling): void {
    this.#drawn.set(position, { token, sampling });
  }

  /** The answer is longer by a token. */
  count(lapMs: number): void {
    this.#tokens += 1;
    this.#lapsMs += lapMs;
  }

  /** The token drawn for `position` from this session's logits, sent or not; null where another was sent. */
  drawnAt(position: number): Drawn | null {
    const drawn = this.#drawn.get(position);
    const sent = this.#sent[position];
    return drawn === undefined || (sent !== undefined && sent !== drawn.token) ? null : drawn;
  }

  /** How it went so far. */
  figures(checks: Release['checks']): Omit<Rest, 'type'> {
    const tokensPerSecond = this.#tokens < 2 || this.#lapsMs <= 0 ? null : (1000 * this.#tokens) / this.#lapsMs;
    const [tokens, positions] = [this.#tokens, this.#positions];
    const [faults, stalled] = [this.faults.slice(0, 64), this.stalled.slice(0, 64)];
    return { session: this.id, tokens, positions, tokensPerSecond, checks, faults, stalled };
  }

  release(outcome: Release['outcome'], checks: Release['checks']): Release {
    return { type: 'release', ...this.figures(checks), outcome };
  }
}

/** Positions of a run whose logits are wanted. */
function wantedOf({ start, end, logitsFrom }: Run): number {
  return Math.max(0, end - Math.max(start, logitsFrom));
}
