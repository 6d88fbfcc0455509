import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes } from '../bytes.ts';
import type { Testimony } from '../check/audit-event.ts';
import { channelScale } from '../check/channel-scale.ts';
import { checkReveal } from '../check/reveal-form.ts';
import { RowChain, splitRows } from '../check/row-chain.ts';
import { rowValues, sketchRows } from '../check/sketch.ts';
import { commitBytes, NO_OPENING, revealBytes } from '../check/statement-codec.ts';
import type { Commit, Reveal, Signed } from '../check/statement.ts';
import { peerIdOf } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { PROMPT_WINDOW } from '../limits.ts';
import type { PeerMessage, RowsMessage } from '../wire/peer-message.ts';
import type {
  PeerEvent,
  Release,
  RequesterConfig,
  SessionEffect,
  SessionReply,
  SignedRoute,
} from './requester-event.ts';
import type { Run } from './requester-session.ts';
import { checkDigest, chunkOf, rowsMessage } from './rows-message.ts';

/** What a third replica is to compute, and to show of it. */
export interface ReplayTask {
  /** The span it must speak for, which is the last of what it is fed. */
  readonly start: number;
  readonly end: number;
  /** The seed of that span. */
  readonly seed: Uint8Array<ArrayBuffer>;
  /** The accused's runs of positions [0, end), so that equal code gives equal bits. */
  readonly runs: readonly Run[];
  /** The input rows of these positions. */
  readonly rows: readonly Uint8Array<ArrayBuffer>[];
}

const EMPTY = new Uint8Array();
/** The one span of a replay that is checked. */
const INDEX = 1;
/** What is waited for: the own signature, and those of the replica being checked. */
const TICKET = { ownCommit: 1, commit: 2, reveal: 3 } as const;

/**
 * One stage of a session computed again by one replica, with this requester before and after it. Ends with its testimony, or
 * with what it did wrong. It has no time of its own: who started it ends it.
 */
export class ReplaySession {
  readonly #config: RequesterConfig;
  readonly #signed: SignedRoute;
  readonly #task: ReplayTask;
  readonly #input = new RowChain();
  readonly #output = new RowChain();
  /** Output rows of the span, those that there are. */
  #shown: Uint8Array[] = [];
  #next = 0;
  #returned = 0;
  readonly #early = new Map<number, RowsMessage>();
  #isOpened = false;
  #isReady = false;
  #commit: Signed<Commit> | null = null;
  #reveal: Signed<Reveal> | null = null;
  #effects: SessionEffect[] = [];
  #outcome: Testimony | ChorusError | null = null;

  constructor(config: RequesterConfig, signed: SignedRoute, task: ReplayTask) {
    this.#config = config;
    this.#signed = signed;
    this.#task = task;
    for (const row of task.rows.slice(0, task.end)) this.#input.append(row);
  }

  get id(): SessionId {
    return this.#signed.route.session;
  }

  get peer(): PeerId {
    return this.#stage.primary.id;
  }

  get numericClass(): string {
    return this.#stage.primary.numericClass;
  }

  /** Null until it has ended. */
  get outcome(): Testimony | ChorusError | null {
    return this.#outcome;
  }

  get #stage() {
    return this.#signed.route.stages[0]!;
  }

  start(): SessionEffect[] {
    return [{ type: 'connect', session: this.id, peer: this.peer, webrtc: this.#stage.primary.webrtc }];
  }

  handle(event: SessionReply | PeerEvent): SessionEffect[] {
    this.#effects = [];
    if (this.#outcome === null) this.#dispatch(event);
    return this.#effects;
  }

  /** Gives the replica back. */
  close(): SessionEffect[] {
    const isDone = this.#outcome !== null && !(this.#outcome instanceof ChorusError);
    const release = releaseOfReplay(this.id, isDone ? 'done' : 'failed');
    if (!this.#isOpened) return [release];
    const close: PeerMessage = { type: 'close', session: this.id, reason: 'the replay is over' };
    return [{ type: 'send', to: this.peer, message: close }, release];
  }

  #dispatch(event: SessionReply | PeerEvent): void {
    switch (event.type) {
      case 'connected':
        return this.#open();
      case 'connect-failed':
        return this.#fail(event.error);
      case 'link-lost':
        if (event.peer === this.peer && this.#isOpened) this.#fail(new ChorusError('link-lost', 'the link was lost'));
        return;
      case 'verified':
        return this.#onVerified(event.ticket, event.isGood);
      case 'signed':
        return this.#onSigned(event.signature);
      case 'message':
        if (event.from === this.peer) this.#onMessage(event.message);
        return;
      case 'record-verified':
        // Nobody asks a replay for its record.
        return;
    }
  }

  #open(): void {
    if (this.#isOpened) return;
    this.#isOpened = true;
    const session = this.id;
    this.#send({ type: 'open', session, stage: 0, route: this.#signed.envelope });
    this.#send({ type: 'audit', session, anchor: sha256(this.#task.seed) });
  }

  #onMessage(message: PeerMessage): void {
    try {
      if (message.type === 'fault') throw new ChorusError(message.code, message.message);
      if (message.type === 'ready') this.#isReady = true;
      if (message.type === 'rows') this.#onRows(message);
      if (message.type === 'commit') return this.#onCommit(message.commit);
      if (message.type === 'reveal') return this.#onReveal(message.reveal);
      if (this.#isReady) this.#feed();
    } catch (error) {
      this.#fail(error instanceof ChorusError ? error : new ChorusError('bad-message', String(error)));
    }
  }

  #feed(): void {
    const { runs, rows } = this.#task;
    const { range } = this.#stage;
    while (this.#next < runs.length && this.#next - this.#returned < PROMPT_WINDOW) {
      const { start, end, logitsFrom } = runs[this.#next]!;
      const bytes = concatBytes(...rows.slice(start, end));
      const kind = range.embedding ? 'tokens' : 'hidden';
      const message = rowsMessage({
        session: this.id,
        stage: 0,
        epoch: 0,
        sequence: this.#next,
        chunk: chunkOf(start),
        logitsFrom,
        rows: { kind, start, count: end - start, bytes },
        hops: [],
      });
      this.#next += 1;
      this.#send(message);
    }
  }

  #onRows(message: RowsMessage): void {
    if (message.sequence < this.#returned || message.sequence >= this.#next) return;
    this.#early.set(message.sequence, message);
    for (let next = this.#early.get(this.#returned); next !== undefined; next = this.#early.get(this.#returned)) {
      this.#early.delete(this.#returned);
      this.#take(next);
      this.#returned += 1;
    }
    if (this.#returned < this.#task.runs.length || this.#commit !== null) return;
    const { start, end } = this.#task;
    this.#send({ type: 'check', session: this.id, epoch: 0, index: INDEX, start, end });
  }

  /** Throws `bad-message` or `digest-mismatch` for rows that are not those of their run. */
  #take(message: RowsMessage): void {
    const { start, end, logitsFrom } = this.#task.runs[message.sequence]!;
    const { head } = this.#stage.range;
    const from = head ? Math.min(Math.max(start, logitsFrom), end) : start;
    const { rows } = message;
    if (rows.kind !== (head ? 'logits' : 'hidden') || rows.count !== end - from) {
      throw new ChorusError('bad-message', 'the replay gave other rows than asked for');
    }
    checkDigest(message);
    const split = splitRows(rows.bytes, rows.count);
    for (let position = start; position < end; position++) {
      const row = position < from ? EMPTY : split[position - from]!;
      this.#output.append(row);
      if (position >= this.#task.start && position >= from) this.#shown.push(row);
    }
  }

  #onCommit(commit: Signed<Commit>): void {
    if (this.#commit !== null || this.#returned < this.#task.runs.length) throw wrong('it committed unasked');
    this.#expectSpan(commit);
    const { start, end } = this.#task;
    const { inputFrom, inputTo, outputFrom, outputTo } = commit.statement;
    const [input, output] = [this.#input, this.#output];
    const isOwn =
      equalBytes(inputFrom, input.at(start)) &&
      equalBytes(inputTo, input.at(end)) &&
      equalBytes(outputFrom, output.at(start)) &&
      equalBytes(outputTo, output.at(end));
    if (!isOwn) throw wrong('it committed to other rows than it got and gave');
    this.#commit = commit;
    this.#verify(TICKET.commit, commit, commitBytes(commit.statement));
  }

  #onReveal(reveal: Signed<Reveal>): void {
    if (this.#commit === null || this.#reveal !== null) throw wrong('it revealed unasked');
    this.#expectSpan(reveal);
    const { statement } = reveal;
    const { manifest } = this.#config;
    const { range } = this.#stage;
    if (!equalBytes(reveal.publicKey, this.#commit.publicKey)) throw wrong('it revealed with another key');
    if (!equalBytes(statement.opening, this.#commit.statement.opening)) throw wrong('it revealed for another opening');
    if (!equalBytes(statement.seed, this.#task.seed)) throw wrong('it revealed under another seed');
    if (checkReveal(statement, range, manifest.config, range.head ? this.#shown.length : null) !== null) {
      throw wrong('it revealed no sketches');
    }
    const rows = this.#task.rows.slice(this.#task.start, this.#task.end);
    const isOwnInput = range.embedding || equalBytes(statement.input, this.#sketch(rows));
    const shown = range.head ? concatBytes(...this.#shown) : this.#sketch(this.#shown);
    if (!isOwnInput || !equalBytes(statement.output, shown)) throw wrong('it revealed other rows than it gave');
    this.#reveal = reveal;
    this.#verify(TICKET.reveal, reveal, revealBytes(statement));
  }

  #sketch(rows: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
    const { manifest } = this.#config;
    const values = rowValues(concatBytes(...rows), manifest.pins.boundary);
    return sketchRows(values, manifest.config.hiddenSize, channelScale(manifest), this.#task.seed);
  }

  /** Throws `bad-message` if it is about another span, or somebody else speaks. */
  #expectSpan({ statement, publicKey }: Signed<Commit | Reveal>): void {
    const { start, end } = this.#task;
    const expected = { session: this.id, epoch: 0, index: INDEX, start, end, stage: 0 };
    const fields = ['session', 'epoch', 'index', 'start', 'end', 'stage'] as const;
    if (fields.some((field) => statement[field] !== expected[field])) throw wrong('it spoke of another span');
    if (peerIdOf(publicKey) !== this.peer) throw wrong('somebody else spoke');
  }

  #verify(ticket: number, { publicKey, signature }: Signed<unknown>, bytes: Uint8Array<ArrayBuffer>): void {
    this.#effects.push({ type: 'verify', session: this.id, ticket, publicKey, bytes, signature });
  }

  #onVerified(ticket: number, isGood: boolean): void {
    if (!isGood) return this.#fail(new ChorusError('bad-signature', 'the replay is not signed'));
    if (ticket === TICKET.commit) {
      this.#effects.push({
        type: 'sign',
        session: this.id,
        ticket: TICKET.ownCommit,
        bytes: commitBytes(this.#ownCommit),
      });
    } else if (this.#commit !== null && this.#reveal !== null) {
      const { peer, numericClass } = this;
      this.#outcome = { peer, numericClass, commit: this.#commit, reveal: this.#reveal };
    }
  }

  #onSigned(signature: Uint8Array<ArrayBuffer>): void {
    const commit = { statement: this.#ownCommit, publicKey: this.#config.publicKey, signature };
    this.#send({ type: 'challenge', session: this.id, index: INDEX, seed: this.#task.seed, commit });
  }

  /** The requester stands behind the replica's stage: what it took in is what came out there. */
  get #ownCommit(): Commit {
    const { start, end } = this.#task;
    const span = { session: this.id, epoch: 0, index: INDEX, start, end };
    return {
      ...span,
      opening: NO_OPENING,
      stage: this.#signed.route.stages.length,
      inputFrom: this.#output.at(start),
      inputTo: this.#output.at(end),
      outputFrom: this.#input.at(start),
      outputTo: this.#input.at(end),
      shapes: new Uint8Array(32),
    };
  }

  #send(message: PeerMessage): void {
    this.#effects.push({ type: 'send', to: this.peer, message });
  }

  #fail(error: ChorusError): void {
    this.#outcome = error;
  }
}

/** Gives a route back that was used for no answer. */
export function releaseMessage(session: SessionId, outcome: Release['outcome']): Release {
  const checks = { checked: 0, settled: 0, unchecked: 0, disputed: 0, agreed: [] };
  return { type: 'release', session, outcome, tokens: 0, tokensPerSecond: null, faults: [], checks };
}

/** Gives the route of a replay back to the server. */
export function releaseOfReplay(session: SessionId, outcome: Release['outcome']): SessionEffect {
  return { type: 'release', release: releaseMessage(session, outcome) };
}

function wrong(reason: string): ChorusError {
  return new ChorusError('bad-message', `the replay cannot be used: ${reason}`);
}
