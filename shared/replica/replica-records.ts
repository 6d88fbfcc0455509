import { utf8 } from '../bytes.ts';
import { encodeClaim } from '../credit/claim-codec.ts';
import { sketchClaim } from '../credit/claim-sketch.ts';
import { preAuthEncoding, sealEnvelope } from '../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../crypto/envelope.ts';
import { digestOf } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import type { SessionId } from '../ids.ts';
import { channelScale } from '../judge/channel-scale.ts';
import { MAX_RECORDS } from '../limits.ts';
import { attestationStatement, type StageRun } from '../receipt/evidence/attest.ts';
import { salted } from '../receipt/evidence/salted.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { Seat } from './admission.ts';
import type { ReplicaAudit, Signing } from './replica-audit.ts';
import type { ReplicaConfig } from './replica-event.ts';
import type { StageTape } from './stage-tape.ts';

/** A claim to be signed, and then the statement whose message carries both. */
export interface RecordSigning {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly then: (claimSignature: Uint8Array<ArrayBuffer>) => Signing;
}

/** The records of one session that its requester asks for: the computed positions, for this replica to sign. */
export class ReplicaRecords {
  readonly #config: ReplicaConfig;
  readonly #session: SessionId;
  readonly #seat: Seat;
  readonly #tape: StageTape;
  readonly #audit: ReplicaAudit;
  /** The number of the newest record that was signed. */
  #last = 0;

  constructor(config: ReplicaConfig, session: SessionId, seat: Seat, tape: StageTape, audit: ReplicaAudit) {
    this.#config = config;
    this.#session = session;
    this.#seat = seat;
    this.#tape = tape;
    this.#audit = audit;
  }

  /**
   * Has all positions signed that were committed to, or all that were computed where nothing is checked: first the claim for
   * credit, then the attestation. Null for an end that is no longer the end, or that a cut has taken in the meantime. Throws
   * `bad-message` for one that never was or a number that was given before, `rate-limited` for more than a session may have.
   */
  sign(record: Extract<PeerMessage, { type: 'record' }>, wallMs: number): RecordSigning | null {
    const { end, number, salt } = record;
    const { committedEnd, mostCommitted, isAudited } = this.#audit;
    const { computed, mostComputed } = this.#tape;
    if (end > (isAudited ? mostCommitted : mostComputed)) {
      throw new ChorusError('bad-message', 'a record was asked for of what was not committed to');
    }
    if (end !== (isAudited ? committedEnd : computed)) return null;
    if (number > MAX_RECORDS) {
      throw new ChorusError('rate-limited', `one record more than ${MAX_RECORDS}; a session has no more`);
    }
    // Two records of one number could carry two receipts that contradict each other.
    if (number <= this.#last) {
      throw new ChorusError('bad-message', `record ${number} was asked for after record ${this.#last}`);
    }
    this.#last = number;
    const payload = attestationStatement({ ...this.#run(end), record: number }, salt, wallMs);
    const attestation = preAuthEncoding(STATEMENT_PAYLOAD_TYPE, payload);
    const claim = this.#claim(record);
    this.#tape.claimed(end);
    this.#tape.release(this.#audit.shownTo);
    const seal = (claimSignature: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>): PeerMessage => {
      const { self, publicKey } = this.#config;
      const envelope = sealEnvelope(self, STATEMENT_PAYLOAD_TYPE, payload, signature);
      return { type: 'recorded', session: this.#session, publicKey, envelope, claim, claimSignature };
    };
    return {
      bytes: claim,
      then: (claimSignature) => ({ bytes: attestation, seal: (signature) => seal(claimSignature, signature) }),
    };
  }

  /** The bytes to sign for the server. */
  #claim({ end, salt, seed }: Extract<PeerMessage, { type: 'record' }>): Uint8Array<ArrayBuffer> {
    const { session, stage, range, role, model, numericClass } = this.#run(end);
    const { input, output, runs } = this.#tape.chainsAt(end);
    return encodeClaim({
      ...{ session, stage, range, role, model },
      numericClass: digestOf(utf8(numericClass)),
      from: this.#tape.unclaimedFrom,
      positions: end,
      input: salted(salt, input),
      output: salted(salt, output),
      runs: salted(salt, runs),
      seed: digestOf(seed),
      sketch: this.#sketch(end, seed),
    });
  }

  /** Of none, where the rows are no numbers: such work has no credit to claim. */
  #sketch(end: number, seed: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { range, manifest } = this.#config.loaded;
    const from = this.#tape.unclaimedFrom;
    const { inputs, outputs } = this.#tape.span(from, end);
    const rows = outputs.flatMap((output, i) =>
      output.length === 0 ? [] : [{ position: from + i, input: inputs[i]!, output }],
    );
    try {
      return sketchClaim(rows, seed, { range, manifest, scale: channelScale(manifest) });
    } catch {
      return new Uint8Array();
    }
  }

  #run(end: number): Omit<StageRun, 'record'> {
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
