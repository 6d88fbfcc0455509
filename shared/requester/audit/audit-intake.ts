import { equalBytes } from '../../bytes.ts';
import type { Envelope } from '../../crypto/envelope.ts';
import { peerIdOf } from '../../crypto/identity.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import { checkReveal } from '../../judge/reveal-form.ts';
import type { SeedChain } from '../../judge/seed-chain.ts';
import { commitBytes, NO_OPENING, revealBytes } from '../../judge/statement-codec.ts';
import type { Commit, Reveal, Signed, Span } from '../../judge/statement.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import { equivocationProof } from '../../proof/proof.ts';
import type { AuditReplica } from './audit-replica.ts';
import type { Held, Word } from './audit-span.ts';
import type { SpanBook } from './span-book.ts';

/** The outcome of taking in a commit or a reveal, before its signature is verified. */
export type Intake<Statement> =
  | { readonly type: 'failed'; readonly code: CheckFailure }
  | { readonly type: 'ignored' }
  /** The replica's word, or a second one that contradicts its first. */
  | { readonly type: 'taken'; readonly held: Held<Statement>; readonly isSecond: boolean };

/** Takes a commit from the replica it says it is of. */
export function takeCommit(
  book: SpanBook,
  replica: AuditReplica,
  signed: Signed<Commit>,
  nowMs: number,
): Intake<Commit> {
  const { statement } = signed;
  if (statement.session !== book.session) return failed('wrong-session');
  if (peerIdOf(signed.publicKey) !== replica.id) return failed('commit-signature');
  if (book.isVoid(statement.index)) return { type: 'ignored' };
  const span = book.find(statement.index);
  if (span === undefined) return failed(statement.index <= book.lastIndex ? 'commit-replayed' : 'wrong-span');
  const word = span.wordsOf(replica).commit;
  if (word.byMs === Infinity || !isSameSpan(span.span, statement) || statement.stage !== replica.stage) {
    return failed('wrong-span');
  }
  const bytes = bytesOf(() => commitBytes(statement));
  if (bytes === null) return failed('commit-malformed');
  // The replica is held to this opening from here on; without a good signature it fails anyway.
  replica.opening ??= statement.opening;
  if (!equalBytes(replica.opening, statement.opening)) return failed('opening-changed');
  return takeWord(word, { signed, bytes, isGood: false }, nowMs >= word.byMs ? 'commit-late' : null);
}

/** Takes a reveal from the replica it says it is of. */
export function takeReveal(
  book: SpanBook,
  replica: AuditReplica,
  signed: Signed<Reveal>,
  nowMs: number,
  { config }: Manifest,
  seeds: SeedChain,
): Intake<Reveal> {
  const { statement } = signed;
  if (statement.session !== book.session) return failed('wrong-session');
  if (peerIdOf(signed.publicKey) !== replica.id) return failed('reveal-signature');
  if (book.isVoid(statement.index)) return { type: 'ignored' };
  const span = book.find(statement.index);
  if (span === undefined) return failed(statement.index <= book.lastIndex ? 'reveal-doubled' : 'wrong-span');
  if (!isSameSpan(span.span, statement) || statement.stage !== replica.stage) return failed('wrong-span');
  // Before the challenge nobody can know the seed.
  if (!span.isChallenged || !equalBytes(statement.seed, seeds.seed(span.span.index))) return failed('reveal-seed');
  if (!equalBytes(statement.opening, replica.opening ?? NO_OPENING)) return failed('opening-changed');
  if (checkReveal(statement, replica.range, config, span.wanted) === 'reveal-malformed') {
    return failed('reveal-malformed');
  }
  const bytes = bytesOf(() => revealBytes(statement));
  if (bytes === null) return failed('reveal-malformed');
  const word = span.wordsOf(replica).reveal;
  return takeWord(word, { signed, bytes, isGood: false }, nowMs >= word.byMs ? 'reveal-late' : null);
}

function takeWord<Statement>(
  word: Word<Statement>,
  held: Held<Statement>,
  late: CheckFailure | null,
): Intake<Statement> {
  if (word.first === null) return late === null ? { type: 'taken', held, isSecond: false } : failed(late);
  // The same statement again is an echo; a third one makes a second no worse.
  if (equalBytes(word.first.bytes, held.bytes) || word.second !== null) return { type: 'ignored' };
  return { type: 'taken', held, isSecond: true };
}

/** A failure of a replica that a signature shows. */
export interface SignatureFailure {
  readonly code: CheckFailure;
  readonly proof: Proof | null;
}

/** Notes whether the signature of a word is good; null where all is well so far. `route` is the envelope, for a proof. */
export function hearSignature(
  kind: 'commit' | 'reveal',
  { first, second }: Word<Commit | Reveal>,
  held: Held<Commit | Reveal>,
  isGood: boolean,
  route: Envelope,
): SignatureFailure | null {
  if (!isGood) return { code: `${kind}-signature`, proof: null };
  held.isGood = true;
  if (first?.isGood !== true || second?.isGood !== true) return null;
  return { code: `${kind}-doubled`, proof: equivocationProof(route, first.signed, second.signed) };
}

function isSameSpan(asked: Span, said: Span): boolean {
  return asked.epoch === said.epoch && asked.start === said.start && asked.end === said.end;
}

/** Null where a statement has no bytes, because one of its fields is of a wrong size. */
function bytesOf(encode: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | null {
  try {
    return encode();
  } catch {
    return null;
  }
}

function failed(code: CheckFailure): { readonly type: 'failed'; readonly code: CheckFailure } {
  return { type: 'failed', code };
}
