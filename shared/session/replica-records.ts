import { preAuthEncoding, sealEnvelope } from '../crypto/dsse.ts';
import { ChorusError } from '../errors.ts';
import { MAX_RECORDS } from '../limits.ts';
import { attestationStatement, type StageRun } from '../receipt/attest.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../receipt/statement-form.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { ReplicaConfig, SignEffect } from './replica-event.ts';

/** The records of one session that its requester asks for: what was computed, for this replica to sign. */
export class ReplicaRecords {
  readonly #config: Pick<ReplicaConfig, 'self' | 'publicKey'>;
  /** Payloads whose signature is being made, by number. */
  readonly #unsigned = new Map<number, Uint8Array<ArrayBuffer>>();
  #count = 0;

  constructor(config: Pick<ReplicaConfig, 'self' | 'publicKey'>) {
    this.#config = config;
  }

  /** Throws `rate-limited` for more than a session may have. */
  sign(run: StageRun, salt: Uint8Array<ArrayBuffer>, wallMs: number): SignEffect {
    if (this.#count === MAX_RECORDS) throw new ChorusError('rate-limited', 'a session has no more records than these');
    const index = ++this.#count;
    const payload = attestationStatement(run, salt, wallMs);
    this.#unsigned.set(index, payload);
    const bytes = preAuthEncoding(STATEMENT_PAYLOAD_TYPE, payload);
    return { type: 'sign', session: run.session, statement: 'record', index, bytes };
  }

  /** The message for the requester; null for a number that is not being signed. */
  signed(
    session: StageRun['session'],
    index: number,
    signature: Uint8Array<ArrayBuffer>,
  ): Extract<PeerMessage, { type: 'recorded' }> | null {
    const payload = this.#unsigned.get(index);
    if (!this.#unsigned.delete(index) || payload === undefined) return null;
    const { self, publicKey } = this.#config;
    const envelope = sealEnvelope(self, STATEMENT_PAYLOAD_TYPE, payload, signature);
    return { type: 'recorded', session, publicKey, envelope };
  }
}
