import type { Envelope } from '../../crypto/envelope.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import { commitBytes } from '../../judge/statement-codec.ts';
import type { Commit, Reveal } from '../../judge/statement.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import { equivocationProof } from '../../proof/proof.ts';
import type { AuditEffect } from './audit-event.ts';
import type { Intake } from './audit-intake.ts';
import type { AuditReplica } from './audit-replica.ts';
import type { AuditSpan, Held, Word } from './audit-span.ts';

/** A replica's statement whose signature is being verified. */
interface Verifying {
  readonly replica: AuditReplica;
  readonly span: AuditSpan;
  readonly kind: 'commit' | 'reveal';
  readonly held: Held<Commit | Reveal>;
}

/** What a signature shows a replica to have done. */
export interface SignatureFailure {
  readonly replica: AuditReplica;
  readonly span: AuditSpan;
  readonly code: CheckFailure;
  readonly proof: Proof | null;
}

/** Signatures that are being made and verified, by number: both take a while. */
export class AuditSignatures {
  readonly #route: Envelope;
  readonly #signing = new Map<number, AuditSpan>();
  readonly #verifying = new Map<number, Verifying>();
  #last = 0;

  constructor(route: Envelope) {
    this.#route = route;
  }

  /** Has the requester's own commit signed. */
  sign(span: AuditSpan): AuditEffect {
    this.#signing.set(++this.#last, span);
    return { type: 'sign', ticket: this.#last, bytes: commitBytes(span.own) };
  }

  signed(ticket: number, signature: Uint8Array<ArrayBuffer>): void {
    const span = this.#signing.get(ticket);
    if (span !== undefined) span.signature = signature;
    this.#signing.delete(ticket);
  }

  /** Keeps what was taken in and has its signature verified. */
  verify(
    replica: AuditReplica,
    span: AuditSpan,
    kind: Verifying['kind'],
    { held, isSecond }: Extract<Intake<Commit | Reveal>, { type: 'taken' }>,
  ): AuditEffect {
    const word: Word<Commit | Reveal> = span.part(replica)[kind];
    if (isSecond) word.second = held;
    else word.first = held;
    this.#verifying.set(++this.#last, { replica, span, kind, held });
    const { publicKey, signature } = held.signed;
    return { type: 'verify', ticket: this.#last, publicKey, bytes: held.bytes, signature };
  }

  /** Null where all is well so far. */
  verified(ticket: number, isGood: boolean): SignatureFailure | null {
    const verifying = this.#verifying.get(ticket);
    if (verifying === undefined) return null;
    this.#verifying.delete(ticket);
    const { replica, span, kind, held } = verifying;
    if (!isGood) return { replica, span, code: `${kind}-signature`, proof: null };
    held.isGood = true;
    const { first, second } = span.part(replica)[kind];
    if (first?.isGood !== true || second?.isGood !== true) return null;
    const proof = equivocationProof(this.#route, first.signed, second.signed);
    return { replica, span, code: `${kind}-doubled`, proof };
  }
}
