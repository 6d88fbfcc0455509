import type { SignedBytes } from '../ask.ts';
import { equalBytes } from '../bytes.ts';
import { peerIdOf } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import { isSeed } from '../judge/seed-chain.ts';
import { commitBytes, NO_OPENING, revealBytes } from '../judge/statement-codec.ts';
import type { Commit, Reveal, Signed, Span } from '../judge/statement.ts';
import { MAX_OPEN_CHECKS } from '../limits.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { Seat } from './admission.ts';
import type { Show } from './shown-rows.ts';
import { SpanOrder } from './span-order.ts';
import type { SpanRows } from './stage-tape.ts';

/** A message of the requester about its check. */
export type AuditMessage = Extract<PeerMessage, { type: 'audit' | 'check' | 'challenge' | 'recall' | 'record' }>;
type MessageOf<Type extends PeerMessage['type']> = Extract<PeerMessage, { type: Type }>;

/** A statement to be signed. */
export interface Signing {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The message that the signature was made for; null where nobody wants it any more. */
  readonly seal: (signature: Uint8Array<ArrayBuffer>) => PeerMessage | null;
}

/** A span that was committed to and is not revealed yet, with all that it takes to reveal it. */
interface OpenSpan {
  readonly commit: Commit;
  readonly rows: SpanRows;
  isSent: boolean;
  seed: Uint8Array<ArrayBuffer> | null;
  reveal: Reveal | null;
}

/** As many again may be on their way when a requester gives up a replica that is MAX_OPEN_CHECKS behind. */
const MAX_SPANS = 2 * MAX_OPEN_CHECKS;

/**
 * The check of one session as a replica sees it: which spans it owes a commit, and which of those it has committed to
 * may now be revealed. A commit is made once for each span and cannot be taken back; the rows to reveal are kept
 * aside, so that no cut comes between. Doubled messages change nothing. A message that no honest requester sends throws.
 */
export class ReplicaAudit {
  readonly #seat: Seat;
  readonly #publicKey: Uint8Array<ArrayBuffer>;
  readonly #opening: Uint8Array<ArrayBuffer>;
  #anchor: Uint8Array | null = null;
  /** The last seed that is known to be right; the anchor is number 0. */
  #known: { readonly seed: Uint8Array; readonly index: number } = { seed: new Uint8Array(), index: 0 };
  readonly #order: SpanOrder;
  /** Spans in order that are not yet committed to. */
  #pending: Span[] = [];
  readonly #open = new Map<number, OpenSpan>();
  /** Positions before it were committed to, and no cut has taken them since. */
  #committedEnd = 0;
  /** The same, whatever was cut. */
  #mostCommitted = 0;

  /** `opening` is random, and drawn for this session alone. */
  constructor(seat: Seat, publicKey: Uint8Array<ArrayBuffer>, opening: Uint8Array<ArrayBuffer>) {
    this.#seat = seat;
    this.#publicKey = publicKey;
    this.#opening = opening;
    this.#order = new SpanOrder(seat.role === 'replay');
  }

  get isAudited(): boolean {
    return this.#anchor !== null;
  }

  get committedEnd(): number {
    return this.#committedEnd;
  }

  get mostCommitted(): number {
    return this.#mostCommitted;
  }

  /** Bytes of the rows kept for spans that are not revealed. */
  get bytes(): number {
    const rows = [...this.#open.values()].flatMap(({ rows }) => [...rows.inputs, ...rows.outputs]);
    return rows.reduce((sum, row) => sum + row.length, 0);
  }

  /** Outputs of positions before this one were shown, or nobody can ask for them any more. */
  get shownTo(): number {
    const open = [...this.#open.values()].map(({ commit }) => commit.start);
    return Math.min(...open, ...this.#pending.map(({ start }) => start), this.#order.nextFrom);
  }

  /** Throws `bad-message` for a second anchor. */
  audit({ anchor }: MessageOf<'audit'>): void {
    if (this.#anchor !== null) {
      if (!equalBytes(this.#anchor, anchor)) throw bad('a second anchor; a session has exactly one');
      return;
    }
    this.#anchor = anchor;
    this.#known = { seed: anchor, index: 0 };
  }

  /** Throws `rate-limited` for too many. */
  check({ session, epoch, index, start, end }: MessageOf<'check'>): void {
    const span = { session, epoch, index, start, end };
    if (!this.#order.isWanted(span)) return;
    if (this.#count >= MAX_SPANS) this.#forgetVoid(index);
    if (this.#count >= MAX_SPANS) {
      throw new ChorusError('rate-limited', `more than ${MAX_SPANS} chunks wait to be checked`);
    }
    this.#order.hold(span);
  }

  get #count(): number {
    return this.#order.waiting + this.#pending.length + this.#open.size;
  }

  /** Rows at `position` and after are gone. */
  cut(epoch: number, position: number): void {
    this.#committedEnd = Math.min(this.#committedEnd, position);
    this.#pending = this.#pending.filter(({ end }) => end <= position);
    this.#order.cut(epoch, position);
  }

  /** Takes up the checks that are now in order. Throws `bad-message` for a span that lies where none can. */
  takeUp(): void {
    if (!this.isAudited) return;
    for (let span = this.#order.take(); span !== null; span = this.#order.take()) this.#pending.push(span);
  }

  /** The span to commit to next; null if there is none. */
  get next(): Span | null {
    return this.#pending[0] ?? null;
  }

  /** Commits to `next`. */
  commit(rows: SpanRows): Signing {
    const span = this.#pending.shift()!;
    this.#committedEnd = span.end;
    this.#mostCommitted = Math.max(this.#mostCommitted, span.end);
    const commit = { ...span, opening: this.#opening, stage: this.#seat.stage, ...rows.chains };
    const open: OpenSpan = { commit, rows, isSent: false, seed: null, reveal: null };
    this.#open.set(span.index, open);
    return { bytes: commitBytes(commit), seal: (signature) => this.#sealCommit(open, signature) };
  }

  #sealCommit(open: OpenSpan, signature: Uint8Array<ArrayBuffer>): PeerMessage | null {
    const { commit: statement } = open;
    if (this.#open.get(statement.index) !== open) return null;
    open.isSent = true;
    return { type: 'commit', commit: { statement, publicKey: this.#publicKey, signature } };
  }

  /**
   * The requester's own signature, to be verified before anything is revealed; null for a challenge that was met before.
   * Throws `check-failed` where the requester does not stand to what it said: the seed is not that of its anchor, the
   * commit is another's or to something else, or what it says it sent is not what came here.
   */
  challenge({ index, seed, commit }: MessageOf<'challenge'>): SignedBytes | null {
    const open = this.#open.get(index);
    const isAhead = index > this.#order.lastIndex || this.#pending.some((span) => span.index === index);
    if (isAhead || open?.isSent === false) throw failed('the challenge came before the commit');
    if (open === undefined || open.seed !== null) return null;
    this.#learn(seed, index);
    this.#checkRequester(open, commit);
    open.seed = seed;
    this.#order.challenged(index);
    this.#forgetVoid(index);
    const { publicKey, signature, statement } = commit;
    return { publicKey, signature, bytes: commitBytes(statement) };
  }

  /** Spans before `index` that are void will get no challenge. */
  #forgetVoid(index: number): void {
    for (const [other, { seed }] of this.#open) {
      if (other < index && seed === null && !this.#order.isPlaced(other)) this.#open.delete(other);
    }
  }

  #learn(seed: Uint8Array<ArrayBuffer>, index: number): void {
    const known = this.#known;
    const isLater = index > known.index;
    const [low, high] = isLater ? [known, { seed, index }] : [{ seed, index }, known];
    if (!isSeed({ known: low.seed, knownIndex: low.index, seed: high.seed, index: high.index })) {
      throw failed('the seed is not that of the anchor');
    }
    if (isLater) this.#known = { seed, index };
  }

  #checkRequester({ commit, rows }: OpenSpan, { statement, publicKey }: Signed<Commit>): void {
    const { requester, stage, stages } = this.#seat;
    if (peerIdOf(publicKey) !== requester) throw failed('the commit is not the requester’s');
    const fields = ['session', 'epoch', 'index', 'start', 'end'] as const;
    const isSameSpan = fields.every((field) => statement[field] === commit[field]);
    if (!isSameSpan || statement.stage !== stages || !equalBytes(statement.opening, NO_OPENING))
      throw failed('the requester committed to something else');
    if (stage > 0) return;
    const { inputFrom, inputTo } = rows.chains;
    if (!equalBytes(statement.outputFrom, inputFrom) || !equalBytes(statement.outputTo, inputTo)) {
      throw failed('the requester committed to other rows than it sent');
    }
  }

  /** The reveal to sign; throws `check-failed` if the requester's signature was not good. */
  verified(index: number, isGood: boolean, show: Show): Signing | null {
    const open = this.#open.get(index);
    if (open === undefined || open.seed === null || open.reveal !== null) return null;
    if (!isGood) throw failed('the requester’s signature is not good');
    const { rows, seed } = open;
    const { session, opening, epoch, start, end, stage } = open.commit;
    const input = show(rows.inputs, 'input', seed);
    const output = show(rows.outputs, 'output', seed);
    const statement = { session, opening, epoch, index, start, end, stage, seed, input, output };
    open.reveal = statement;
    return { bytes: revealBytes(statement), seal: (signature) => this.#sealReveal(statement, signature) };
  }

  #sealReveal(statement: Reveal, signature: Uint8Array<ArrayBuffer>): PeerMessage | null {
    if (!this.#open.delete(statement.index)) return null;
    return { type: 'reveal', reveal: { statement, publicKey: this.#publicKey, signature } };
  }
}

function bad(message: string): ChorusError {
  return new ChorusError('bad-message', message);
}

function failed(message: string): ChorusError {
  return new ChorusError('check-failed', message);
}
