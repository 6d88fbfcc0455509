import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes } from '../../bytes.ts';
import { CLAIM_SEED_BYTES } from '../../credit/claim.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../../crypto/envelope.ts';
import { strictParts, type StrictParts } from '../../crypto/strict-envelope.ts';
import { ChorusError } from '../../errors.ts';
import type { PeerId, SessionId } from '../../ids.ts';
import type { ThirdRecord } from '../../judge/finding.ts';
import { commitBytes, revealBytes } from '../../judge/statement-codec.ts';
import type { Testimony, Commit, Reveal, Signed } from '../../judge/statement.ts';
import { LAST_RECORD_MS, PROMPT_WINDOW } from '../../limits.ts';
import { mismatchOf, parseAttestation } from '../../receipt/evidence/attest.ts';
import { salted } from '../../receipt/evidence/salted.ts';
import { chunkOf } from '../../rows/chunk.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';
import { rowsMessage } from '../../wire/rows-message.ts';
import type { SessionPort } from '../feed/session-port.ts';
import type { RequesterEvent, SignedRoute } from '../requester-event.ts';
import { releaseOfReplay } from '../route-release.ts';
import { ReplayTape, unusable, type ReplayTask } from './replay-tape.ts';

/** The testimony of a third, and what it signed of that; null where it did not in time. */
export interface ReplayOutcome extends Testimony {
  readonly record: ThirdRecord | null;
}

/**
 * One stage of a session computed again by one replica, with this requester before and after it. Ends with its testimony, or
 * with what it did wrong. It has no time of its own: the settlement that started it ends it.
 */
export class ReplaySession {
  readonly #host: SessionPort;
  readonly #onEnd: () => void;
  readonly #signed: SignedRoute;
  readonly #task: ReplayTask;
  readonly #tape: ReplayTape;
  #next = 0;
  #returned = 0;
  readonly #early = new Map<number, RowsMessage>();
  #isOpened = false;
  #isReady = false;
  #salt: Uint8Array<ArrayBuffer> | null = null;
  #commit: Signed<Commit> | null = null;
  #reveal: Signed<Reveal> | null = null;
  /** Set while only its record is waited for. */
  #testimony: Testimony | null = null;
  #signByMs = Infinity;
  #outcome: ReplayOutcome | ChorusError | null = null;

  /** `onEnd` is called once there is an outcome. */
  constructor(host: SessionPort, signed: SignedRoute, task: ReplayTask, onEnd: () => void) {
    this.#host = host;
    this.#onEnd = onEnd;
    this.#signed = signed;
    this.#task = task;
    this.#tape = new ReplayTape(signed.route, host.config.manifest, task);
  }

  get id(): SessionId {
    return this.#signed.route.session;
  }

  get peer(): PeerId {
    return this.#stage.primary.id;
  }

  /** Null until it has ended. */
  get outcome(): ReplayOutcome | ChorusError | null {
    return this.#outcome;
  }

  /** When it no longer waits for its record. */
  get deadlineMs(): number {
    return this.#signByMs;
  }

  onTime(nowMs: number): void {
    if (nowMs >= this.#signByMs) this.#act(() => this.#end(null));
  }

  get #stage() {
    return this.#signed.route.stages[0]!;
  }

  start(): void {
    const { peer } = this;
    this.#host.perform({ type: 'connect', session: this.id, peer, webrtc: this.#stage.primary.webrtc });
  }

  handle(event: RequesterEvent): void {
    this.#act(() => this.#dispatch(event));
  }

  /** Gives the replica back. It hears nothing any more. */
  close(): void {
    const isDone = this.#outcome !== null && !(this.#outcome instanceof ChorusError);
    if (this.#isOpened) this.#send({ type: 'close', session: this.id, reason: 'the replay is over' });
    this.#host.perform(releaseOfReplay(this.id, isDone ? 'done' : 'failed'));
    this.#outcome ??= new ChorusError('cancelled', 'the replay is over');
  }

  #act(act: () => void): void {
    if (this.#outcome !== null) return;
    act();
    if (this.#outcome !== null) this.#onEnd();
  }

  #dispatch(event: RequesterEvent): void {
    switch (event.type) {
      case 'connected':
        return this.#open();
      case 'connect-failed':
        return this.#fail(event.error);
      case 'link-lost':
        if (event.peer === this.peer && this.#isOpened) this.#fail(new ChorusError('link-lost', 'the link was lost'));
        return;
      case 'message':
        if (event.from === this.peer) this.#onMessage(event.message);
        return;
      default:
        return;
    }
  }

  #open(): void {
    if (this.#isOpened) return;
    this.#isOpened = true;
    const session = this.id;
    this.#send({ type: 'open', session, stage: 0 });
    this.#send({ type: 'audit', session, anchor: sha256(this.#task.seed) });
  }

  #onMessage(message: PeerMessage): void {
    try {
      if (message.type === 'fault') throw new ChorusError(message.code, message.message);
      if (message.type === 'ready') this.#isReady = true;
      if (message.type === 'rows') this.#onRows(message);
      if (message.type === 'commit') return this.#onCommit(message.commit);
      if (message.type === 'reveal') return this.#onReveal(message.reveal);
      if (message.type === 'recorded') return this.#onRecorded(message);
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
      this.#tape.take(next);
      this.#returned += 1;
    }
    if (this.#returned < this.#task.runs.length || this.#commit !== null) return;
    this.#send({ type: 'check', ...this.#tape.span });
  }

  #onCommit(commit: Signed<Commit>): void {
    if (this.#commit !== null || this.#returned < this.#task.runs.length) throw unusable('it committed unasked');
    this.#tape.checkCommit(commit);
    this.#commit = commit;
    this.#verify(commit, commitBytes(commit.statement), () => this.#signOwn());
  }

  #onReveal(reveal: Signed<Reveal>): void {
    const commit = this.#commit;
    if (commit === null || this.#reveal !== null) throw unusable('it revealed unasked');
    this.#tape.checkReveal(reveal, commit);
    this.#reveal = reveal;
    this.#verify(reveal, revealBytes(reveal.statement), () => this.#conclude(commit, reveal));
  }

  #verify({ publicKey, signature }: Signed<unknown>, bytes: Uint8Array<ArrayBuffer>, then: () => void): void {
    const unsigned = new ChorusError('bad-signature', 'the replay is not signed');
    this.#host.verify({ publicKey, bytes, signature }, (isGood) => {
      this.#act(() => (isGood ? then() : this.#fail(unsigned)));
    });
  }

  #signOwn(): void {
    const statement = this.#tape.ownCommit;
    const { session, index } = this.#tape.span;
    const { publicKey } = this.#host.config;
    this.#host.sign(commitBytes(statement), (signature) => {
      const commit = { statement, publicKey, signature };
      this.#act(() => this.#send({ type: 'challenge', session, index, seed: this.#task.seed, commit }));
    });
  }

  #conclude(commit: Signed<Commit>, reveal: Signed<Reveal>): void {
    const { id: peer, numericClass } = this.#stage.primary;
    this.#testimony = { peer, numericClass, commit, reveal };
    this.#signByMs = this.#host.nowMs + LAST_RECORD_MS;
    const { random } = this.#host.config;
    const { current: salt } = this.#host.recordSalt;
    const { end } = this.#task;
    this.#salt = salt;
    this.#send({ type: 'record', session: this.id, end, number: 1, salt, seed: random(CLAIM_SEED_BYTES) });
  }

  /** It has said what it found; what it signs of that is for the receipt, and is not waited for long. */
  #onRecorded({ publicKey, envelope: attestation }: Extract<PeerMessage, { type: 'recorded' }>): void {
    const salt = this.#salt;
    if (this.#testimony === null || salt === null) throw unusable('it signed unasked');
    let parts: StrictParts;
    try {
      parts = strictParts(attestation, STATEMENT_PAYLOAD_TYPE, publicKey);
      if (!this.#isOwnRecord(parts.payload, publicKey, salt)) return this.#end(null);
    } catch {
      return this.#end(null);
    }
    const { signed: bytes, signature } = parts;
    const record = { salt, publicKey, attestation, route: this.#signed.envelope };
    this.#host.verify({ publicKey, bytes, signature }, (isGood) => {
      this.#act(() => this.#end(isGood ? record : null));
    });
  }

  #isOwnRecord(payload: Uint8Array<ArrayBuffer>, publicKey: Uint8Array, salt: Uint8Array<ArrayBuffer>): boolean {
    const { model, manifest } = this.#host.config;
    const { range, primary } = this.#stage;
    const { inputTo, outputTo } = this.#commit!.statement;
    const attestation = parseAttestation(payload);
    const expected = {
      ...{ session: this.id, stage: 0, range, role: 'replay' as const, record: 1, model, positions: this.#task.end },
      ...{ replica: primary.id, numericClass: primary.numericClass },
      runtime: { name: manifest.pins.runtime, version: manifest.pins.runtimeVersion },
    };
    const { input, outputs } = attestation.predicate;
    return (
      mismatchOf(attestation, publicKey, expected) === null &&
      input.sha256 === salted(salt, inputTo) &&
      outputs.at(-1)!.sha256 === salted(salt, outputTo)
    );
  }

  #end(record: ThirdRecord | null): void {
    this.#outcome = { ...this.#testimony!, record };
  }

  #send(message: PeerMessage): void {
    this.#host.perform({ type: 'send', to: this.peer, message });
  }

  #fail(error: ChorusError): void {
    // What it found stands, whether it signs or not.
    if (this.#testimony !== null) return this.#end(null);
    this.#outcome = error;
  }
}
