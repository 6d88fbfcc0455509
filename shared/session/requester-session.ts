import { ChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { CONNECT_TIMEOUT_MS, LAP_TIMEOUT_MS, OPEN_TIMEOUT_MS, SESSION_IDLE_MS, TOP_K } from '../limits.ts';
import type { PeerControlMessage } from '../wire/control-message.ts';
import type { RowsMessage } from '../wire/peer-message.ts';
import type { CutMessage } from './row-order.ts';
import { leaseMs, type Envelope, type Route } from './route.ts';
import { checkDigest, chunkEnd, chunkOf, encodeTokens, rowsMessage } from './rows-message.ts';
import { readCandidates, type Candidates } from './sampler.ts';

type Release = Extract<PeerControlMessage, { type: 'release' }>;

/** Given back a little before the replicas would take it. */
const IDLE_MS = SESSION_IDLE_MS - 20_000;

/** Rows on their way round. */
interface Flight {
  readonly start: number;
  readonly end: number;
  readonly logitsFrom: number;
  readonly sentMs: number;
}

/** What came back for one rows message. */
export interface Lap {
  readonly lapMs: number;
  /** How far the prompt is in; null once it is. */
  readonly prompt: { readonly done: number; readonly total: number } | null;
  /** The logits after the last token sent; null if these rows were not the last. */
  readonly candidates: Candidates | null;
}

/** The requester's side of one session: what the replicas' KV holds, and what is on its way. */
export class RequesterSession {
  readonly route: Route;
  readonly envelope: Envelope;
  readonly leaseEndMs: number;
  #step: 'connecting' | 'opening' | 'open' = 'connecting';
  #deadlineMs: number;
  /** Tokens sent, in the order of their positions. */
  #sent: number[] = [];
  #epoch = 0;
  #sequence = 0;
  #flights = new Map<number, Flight>();
  /** Flights of an answer that was given up: they are waited for, but tell nothing. */
  #forgotten = new Set<number>();
  #prompt: { done: number; readonly total: number } | null = null;
  #tokens = 0;
  #lapsMs = 0;

  constructor(route: Route, envelope: Envelope, nowMs: number) {
    this.route = route;
    this.envelope = envelope;
    this.leaseEndMs = nowMs + leaseMs(route);
    this.#deadlineMs = nowMs + CONNECT_TIMEOUT_MS;
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

  get step(): 'connecting' | 'opening' | 'open' {
    return this.#step;
  }

  /** When something must have happened. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  toOpening(nowMs: number): void {
    this.#step = 'opening';
    this.#deadlineMs = nowMs + OPEN_TIMEOUT_MS;
  }

  toOpen(): void {
    this.#step = 'open';
    this.#deadlineMs = Infinity;
  }

  /** Waits for nothing but the next answer, for a bounded time; from then on flights under way tell nothing. */
  rest(nowMs: number): void {
    this.#deadlineMs = nowMs + IDLE_MS;
    this.#forgotten = new Set(this.#flights.keys());
    this.#prompt = null;
  }

  /** Makes ready to send `history`: returns the cut back to what the session shares with it, if it holds more. */
  align(history: readonly number[], nowMs: number): CutMessage | null {
    this.#deadlineMs = nowMs + LAP_TIMEOUT_MS;
    const most = Math.min(this.#sent.length, history.length - 1);
    let shared = 0;
    while (shared < most && this.#sent[shared] === history[shared]) shared += 1;
    this.#prompt = { done: 0, total: history.length - shared };
    if (shared === this.#sent.length) return null;
    this.#sent.length = shared;
    this.#epoch += 1;
    this.#flights.clear();
    this.#forgotten.clear();
    return { type: 'cut', session: this.id, epoch: this.#epoch, position: shared };
  }

  /** The rows of `history` to send now: what was not sent yet, in chunks, `window` of them on the way at most. */
  nextRows(history: readonly number[], window: number, nowMs: number): RowsMessage[] {
    const messages: RowsMessage[] = [];
    while (this.#sent.length < history.length && this.#flights.size < window) {
      const start = this.#sent.length;
      const end = Math.min(chunkEnd(start), history.length);
      const tokens = history.slice(start, end);
      const flight = { start, end, logitsFrom: history.length - 1, sentMs: nowMs };
      messages.push(this.#rows(flight, tokens));
      this.#flights.set(this.#sequence, flight);
      this.#sent.push(...tokens);
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
    const wanted = Math.max(0, flight.end - Math.max(flight.start, flight.logitsFrom));
    if (message.stage !== this.route.stages.length || rows.count !== wanted) {
      throw new ChorusError('bad-message', `${rows.count} rows of logits came where ${wanted} were asked for`);
    }
    checkDigest(message);
    const candidates =
      wanted === 0 ? null : readCandidates(rows.bytes, vocabularySize, Math.min(TOP_K, vocabularySize));
    this.#flights.delete(message.sequence);
    this.#deadlineMs = Math.max(this.#deadlineMs, nowMs + LAP_TIMEOUT_MS);
    if (this.#forgotten.delete(message.sequence)) return null;
    const prompt = this.#prompt;
    if (prompt !== null) prompt.done += flight.end - flight.start;
    if (candidates !== null) this.#prompt = null;
    return { lapMs: nowMs - flight.sentMs, prompt: prompt && { ...prompt }, candidates };
  }

  countToken(lapMs: number): void {
    this.#tokens += 1;
    this.#lapsMs += lapMs;
  }

  release(outcome: Release['outcome'], faults: Release['faults']): Release {
    const tokensPerSecond = this.#tokens < 2 || this.#lapsMs <= 0 ? null : (1000 * this.#tokens) / this.#lapsMs;
    return { type: 'release', session: this.id, outcome, tokens: this.#tokens, tokensPerSecond, faults };
  }
}
