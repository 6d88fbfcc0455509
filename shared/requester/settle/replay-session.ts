import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import type { PeerId, SessionId } from '../../ids.ts';
import { commitBytes, revealBytes } from '../../judge/statement-codec.ts';
import type { Testimony, Commit, Reveal, Signed } from '../../judge/statement.ts';
import { PROMPT_WINDOW } from '../../limits.ts';
import { chunkOf } from '../../rows/chunk.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';
import { rowsMessage } from '../../wire/rows-message.ts';
import type { PeerEvent, RequesterConfig, SessionEffect, SessionReply, SignedRoute } from '../requester-event.ts';
import { releaseOfReplay } from '../route-release.ts';
import { ReplayRecord, unusable, type ReplayTask } from './replay-record.ts';

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
  readonly #record: ReplayRecord;
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
    this.#record = new ReplayRecord(signed.route, config.manifest, task);
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
      this.#record.take(next);
      this.#returned += 1;
    }
    if (this.#returned < this.#task.runs.length || this.#commit !== null) return;
    this.#send({ type: 'check', ...this.#record.span });
  }

  #onCommit(commit: Signed<Commit>): void {
    if (this.#commit !== null || this.#returned < this.#task.runs.length) throw unusable('it committed unasked');
    this.#record.checkCommit(commit);
    this.#commit = commit;
    this.#verify(TICKET.commit, commit, commitBytes(commit.statement));
  }

  #onReveal(reveal: Signed<Reveal>): void {
    if (this.#commit === null || this.#reveal !== null) throw unusable('it revealed unasked');
    this.#record.checkReveal(reveal, this.#commit);
    this.#reveal = reveal;
    this.#verify(TICKET.reveal, reveal, revealBytes(reveal.statement));
  }

  #verify(ticket: number, { publicKey, signature }: Signed<unknown>, bytes: Uint8Array<ArrayBuffer>): void {
    this.#effects.push({ type: 'verify', session: this.id, ticket, publicKey, bytes, signature });
  }

  #onVerified(ticket: number, isGood: boolean): void {
    if (!isGood) return this.#fail(new ChorusError('bad-signature', 'the replay is not signed'));
    if (ticket === TICKET.commit) {
      const bytes = commitBytes(this.#record.ownCommit);
      this.#effects.push({ type: 'sign', session: this.id, ticket: TICKET.ownCommit, bytes });
    } else if (this.#commit !== null && this.#reveal !== null) {
      const { peer, numericClass } = this;
      this.#outcome = { peer, numericClass, commit: this.#commit, reveal: this.#reveal };
    }
  }

  #onSigned(signature: Uint8Array<ArrayBuffer>): void {
    const commit = { statement: this.#record.ownCommit, publicKey: this.#config.publicKey, signature };
    const { session, index } = this.#record.span;
    this.#send({ type: 'challenge', session, index, seed: this.#task.seed, commit });
  }

  #send(message: PeerMessage): void {
    this.#effects.push({ type: 'send', to: this.peer, message });
  }

  #fail(error: ChorusError): void {
    this.#outcome = error;
  }
}
