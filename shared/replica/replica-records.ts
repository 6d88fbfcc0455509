import { preAuthEncoding, sealEnvelope } from '../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../crypto/envelope.ts';
import { ChorusError } from '../errors.ts';
import type { SessionId } from '../ids.ts';
import { MAX_RECORDS } from '../limits.ts';
import { attestationStatement, type StageRun } from '../receipt/evidence/attest.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { Seat } from './admission.ts';
import type { ReplicaAudit, Signing } from './replica-audit.ts';
import type { ReplicaConfig } from './replica-event.ts';
import type { StageTape } from './stage-tape.ts';

/** The records of one session that its requester asks for: the computed positions, for this replica to sign. */
export class ReplicaRecords {
  readonly #config: ReplicaConfig;
  readonly #session: SessionId;
  readonly #seat: Seat;
  readonly #tape: StageTape;
  readonly #audit: ReplicaAudit;
  #count = 0;

  constructor(config: ReplicaConfig, session: SessionId, seat: Seat, tape: StageTape, audit: ReplicaAudit) {
    this.#config = config;
    this.#session = session;
    this.#seat = seat;
    this.#tape = tape;
    this.#audit = audit;
  }

  /**
   * Has all positions signed that were committed to, or all that were computed where nothing is checked. Null for an end
   * that is no longer the end, or that a cut has taken in the meantime. Throws `bad-message` for one that never was,
   * `rate-limited` for more than a session may have.
   */
  sign({ end, salt }: Extract<PeerMessage, { type: 'record' }>, wallMs: number): Signing | null {
    const { committedEnd, mostCommitted, isAudited } = this.#audit;
    const { computed, mostComputed } = this.#tape;
    if (end > (isAudited ? mostCommitted : mostComputed)) {
      throw new ChorusError('bad-message', 'a record was asked for of what was not committed to');
    }
    if (end !== (isAudited ? committedEnd : computed)) return null;
    if (this.#count === MAX_RECORDS) {
      throw new ChorusError('rate-limited', `one record more than ${MAX_RECORDS}; a session has no more`);
    }
    this.#count += 1;
    const payload = attestationStatement(this.#run(end), salt, wallMs);
    const bytes = preAuthEncoding(STATEMENT_PAYLOAD_TYPE, payload);
    return { bytes, seal: (signature) => this.#seal(payload, signature) };
  }

  #seal(payload: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>): PeerMessage {
    const { self, publicKey } = this.#config;
    const envelope = sealEnvelope(self, STATEMENT_PAYLOAD_TYPE, payload, signature);
    return { type: 'recorded', session: this.#session, publicKey, envelope };
  }

  #run(end: number): StageRun {
    const { loaded, backend } = this.#config;
    const { model, range, manifest } = loaded;
    const { stage, role } = this.#seat;
    const tape = this.#tape;
    return {
      session: this.#session,
      stage,
      range,
      role,
      model,
      numericClass: backend.numericClass,
      runtime: { name: manifest.pins.runtime, version: backend.runtimeVersion },
      positions: end,
      inputAt: (at) => tape.chainsAt(at).input,
      outputAt: (at) => tape.chainsAt(at).output,
      runsAt: (at) => tape.chainsAt(at).runs,
    };
  }
}
