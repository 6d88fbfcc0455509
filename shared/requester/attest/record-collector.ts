import type { SignedBytes } from '../../ask.ts';
import { toHex } from '../../bytes.ts';
import type { SignedClaim } from '../../credit/claim.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../../crypto/envelope.ts';
import { strictParts } from '../../crypto/strict-envelope.ts';
import type { Digest, PeerId, SessionId } from '../../ids.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import { LAST_RECORD_MS, RECORD_TIMEOUT_MS } from '../../limits.ts';
import { mismatchOf, parseAttestation } from '../../receipt/evidence/attest.ts';
import type { AttestationPredicate } from '../../receipt/evidence/attestation.ts';
import type { Evidence, FedRun } from '../../receipt/evidence/evidence.ts';
import { shapeOf } from '../../receipt/evidence/runs.ts';
import { salted, saltedTokens } from '../../receipt/evidence/salted.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import type { RecordSource } from '../audit/audit-replica.ts';
import type { SessionPort } from '../feed/session-port.ts';

/** The record that is asked for, and the requester's own facts to hold it against. */
export interface RecordTask {
  readonly session: SessionId;
  readonly model: Digest;
  readonly runtime: AttestationPredicate['runtime'];
  readonly salt: Uint8Array<ArrayBuffer>;
  /**
   * For the sketches of claims, one for each stage, drawn once everything was computed. The server never hears them, and an
   * anchor of the server only that of its own stage: with it, tokens could be told from the sketches of the head.
   */
  readonly seeds: readonly Uint8Array<ArrayBuffer>[];
  /** The number of the record in its session. */
  readonly record: number;
  /** Tokens of positions [0, end), as they were fed. */
  readonly tokens: readonly number[];
  readonly runs: readonly FedRun[];
}

type Recorded = Extract<PeerMessage, { type: 'recorded' }>;
type Attested = Evidence['attestations'][number];

/** A claim for credit and the stage that it is for; whether it is right is for the server to find out. */
export interface CollectedClaim extends SignedClaim {
  readonly stage: number;
}

interface CollectorHost extends Pick<SessionPort, 'nowMs' | 'perform' | 'verify'> {
  /** A replica signed something else than it was asked for, or than it committed to. */
  wrong(source: RecordSource, code: CheckFailure): void;
}

interface Asked {
  readonly source: RecordSource;
  step: 'connecting' | 'asked' | 'verifying' | 'over';
  attested: Attested | null;
  claim: CollectedClaim | null;
}

/**
 * Collects what the replicas of a session sign of their work, at the end of an answer. Nobody is waited for longer than
 * RECORD_TIMEOUT_MS, the last one than LAST_RECORD_MS, each is heard once, and a wrong record is left out.
 */
export class RecordCollector {
  readonly #task: RecordTask;
  readonly #host: CollectorHost;
  readonly #asked: ReadonlyMap<PeerId, Asked>;
  readonly #unanswered: Map<PeerId, number>;
  /** When nothing is waited for any more. */
  #byMs: number;
  #isStopped = false;

  /** `unanswered` counts requests of this session that each replica has not answered, and goes on from answer to answer. */
  constructor(
    task: RecordTask,
    sources: readonly RecordSource[],
    unanswered: Map<PeerId, number>,
    host: CollectorHost,
  ) {
    this.#task = task;
    this.#byMs = host.nowMs + RECORD_TIMEOUT_MS;
    this.#host = host;
    this.#unanswered = unanswered;
    this.#asked = new Map(
      sources.map((source) => [source.id, { source, step: 'connecting', attested: null, claim: null }]),
    );
  }

  /** True once nothing more is waited for. */
  get isDone(): boolean {
    return this.#isStopped || [...this.#asked.values()].every(({ step }) => step === 'over');
  }

  get deadlineMs(): number {
    return this.isDone ? Infinity : this.#byMs;
  }

  /** Records whose signature is good, stage by stage. */
  get attestations(): readonly Attested[] {
    return [...this.#asked.values()].flatMap(({ step, attested }) =>
      step === 'over' && attested !== null ? [attested] : [],
    );
  }

  /** Replicas that were asked, over a link that holds, and have signed nothing. */
  get withholding(): readonly RecordSource[] {
    return [...this.#asked.values()].filter(({ step }) => step === 'asked').map(({ source }) => source);
  }

  /** The claims that came with these records. */
  get claims(): readonly CollectedClaim[] {
    return [...this.#asked.values()].flatMap(({ step, claim }) => (step === 'over' && claim !== null ? [claim] : []));
  }

  start(): void {
    const { session } = this.#task;
    for (const { source } of this.#asked.values()) {
      const { id: peer, webrtc, isLinked } = source;
      if (isLinked) this.onLinked(peer);
      else this.#host.perform({ type: 'connect', session, peer, webrtc });
    }
  }

  onLinked(peer: PeerId): void {
    const asked = this.#waiting(peer, 'connecting');
    if (asked === null) return;
    asked.step = 'asked';
    this.#unanswered.set(peer, this.#countOf(peer) + 1);
    const { session, salt, seeds, tokens, record: number } = this.#task;
    const seed = seeds[asked.source.stage]!;
    this.#host.perform({
      type: 'send',
      to: peer,
      message: { type: 'record', session, end: tokens.length, number, salt, seed },
    });
  }

  onRecorded(from: PeerId, recorded: Recorded): void {
    const asked = this.#waiting(from, 'asked');
    if (asked === null) return;
    const signed = this.#signedIn(recorded, asked.source);
    if (typeof signed === 'string') return this.#judge(asked, signed);
    asked.step = 'verifying';
    this.#unanswered.delete(from);
    const { publicKey, envelope, claim, claimSignature: signature } = recorded;
    asked.attested = { replica: from, publicKey, envelope };
    asked.claim = { replica: from, stage: asked.source.stage, publicKey, claim, signature };
    this.#host.verify(signed, (isGood) => this.#onVerified(from, isGood));
  }

  /** The signed bytes of a record that is as it was asked for; else its fault. */
  #signedIn({ publicKey, envelope }: Recorded, source: RecordSource): SignedBytes | CheckFailure {
    try {
      const { payload, signed: bytes, signature } = strictParts(envelope, STATEMENT_PAYLOAD_TYPE, publicKey);
      return this.#faultOf(source, publicKey, payload) ?? { publicKey, bytes, signature };
    } catch {
      return 'record-malformed';
    }
  }

  #onVerified(peer: PeerId, isGood: boolean): void {
    const asked = this.#waiting(peer, 'verifying');
    if (asked === null) return;
    if (isGood) asked.step = 'over';
    else this.#refuse(asked, 'record-signature');
    this.#hasten();
  }

  /** One replica alone, where all others gave theirs, holds an answer up no longer than a moment. */
  #hasten(): void {
    const open = [...this.#asked.values()].filter(({ step }) => step !== 'over');
    if (open.length === 1) this.#byMs = Math.min(this.#byMs, this.#host.nowMs + LAST_RECORD_MS);
  }

  /** The replica cannot be reached (any more); a record that it signed before stays. */
  onLost(peer: PeerId): void {
    const asked = this.#asked.get(peer);
    if (asked !== undefined && asked.step !== 'verifying') asked.step = 'over';
  }

  onTime(nowMs: number): void {
    if (nowMs >= this.#byMs) this.stop();
  }

  /** Waits for nobody any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #waiting(peer: PeerId, step: Asked['step']): Asked | null {
    const asked = this.#asked.get(peer);
    return this.#isStopped || asked?.step !== step ? null : asked;
  }

  #countOf(peer: PeerId): number {
    return this.#unanswered.get(peer) ?? 0;
  }

  /** Wrong for this answer; but it may be the record of an answer before, which comes late and is no fault. */
  #judge(asked: Asked, code: CheckFailure): void {
    const count = this.#countOf(asked.source.id) - 1;
    this.#unanswered.set(asked.source.id, count);
    if (count <= 0) this.#refuse(asked, code);
  }

  #refuse(asked: Asked, code: CheckFailure): void {
    asked.step = 'over';
    asked.attested = null;
    asked.claim = null;
    this.#host.wrong(asked.source, code);
  }

  #faultOf(source: RecordSource, publicKey: Uint8Array, payload: Uint8Array<ArrayBuffer>): CheckFailure | null {
    const { salt, seeds: _seeds, tokens, runs, ...task } = this.#task;
    const { id: replica, stage, range, role, numericClass } = source;
    const attestation = parseAttestation(payload);
    const expected = { ...task, replica, stage, range, role, numericClass, positions: tokens.length };
    if (mismatchOf(attestation, publicKey, expected) !== null) return 'record-malformed';
    const said = attestation.predicate;
    const commit = source.last?.end === tokens.length ? source.last : null;
    const known = {
      input: commit ? salted(salt, commit.inputTo) : stage === 0 ? saltedTokens(salt, tokens) : null,
      output: commit ? salted(salt, commit.outputTo) : null,
      runs: commit ? toHex(commit.shapes) : role === 'primary' ? shapeOf(runs) : null,
    };
    const isAsKnown =
      [null, said.input.sha256].includes(known.input) &&
      [null, said.outputs.at(-1)!.sha256].includes(known.output) &&
      [null, said.runs.sha256].includes(known.runs);
    return isAsKnown ? null : 'record-mismatch';
  }
}
