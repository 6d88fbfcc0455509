import type { PeerId } from '../../ids.ts';
import type { Sampled } from '../../judge/draws.ts';
import type { Finding, StageCheck } from '../../judge/finding.ts';
import type { Testimony, Commit, Reveal, Signed, Span } from '../../judge/statement.ts';
import type { AuditReplica } from './audit-replica.ts';
import type { Dispute, Third } from './span-audit.ts';

/** A statement as it came, with the bytes that are signed. */
export interface Held<Statement> {
  readonly signed: Signed<Statement>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Its signature was verified. */
  isGood: boolean;
}

/** A statement that one replica owes, once. */
export interface Word<Statement> {
  first: Held<Statement> | null;
  /** Another content under the same number. */
  second: Held<Statement> | null;
  /** When it must have come; Infinity before it was asked for. */
  byMs: number;
  /** A requester that slept gave it more time. */
  isExcused: boolean;
}

/** The two statements that one replica owes on one span. */
export interface ReplicaWords {
  readonly commit: Word<Commit>;
  readonly reveal: Word<Reveal>;
}

/** The findings on one stage, and the settling of their differences. */
export interface StageResult {
  readonly findings: readonly Finding[];
  /** The tokens drawn from the primary's rows; null where none was, and for hidden rows. */
  readonly sampled: Sampled | null;
  /** Shadows whose finding no longer asks for a third. */
  readonly settled: Set<PeerId>;
  arbiter: StageCheck['arbiter'];
  dispute: Dispute | null;
  /** The third that repeated the stage last, and what it draws. */
  third: Third | null;
  /** A referee was asked whose draw goes on. */
  isDrawAsked: boolean;
}

/** One span on its way from `check` to its verdict. */
export class AuditSpan {
  readonly span: Span;
  /** The requester's own commit, and the signature on it once it is made. */
  readonly own: Commit;
  signature: Uint8Array<ArrayBuffer> | null = null;
  /** The logits rows that came from the last primary: of the last `wanted` positions. */
  readonly logits: Uint8Array<ArrayBuffer>;
  readonly wanted: number;
  /** Chain of the runs that primaries were given. */
  readonly shapes: Uint8Array<ArrayBuffer>;
  isChallenged = false;
  /** Where a cut went into the span; the positions after it are gone. */
  keptEnd: number;
  /** One for each stage, once judged. */
  results: StageResult[] | null = null;
  readonly #words = new Map<PeerId, ReplicaWords>();

  constructor(
    own: Commit,
    logits: { readonly count: number; readonly bytes: Uint8Array<ArrayBuffer> },
    shapes: Uint8Array<ArrayBuffer>,
  ) {
    const { session, epoch, index, start, end } = own;
    this.span = { session, epoch, index, start, end };
    this.own = own;
    this.logits = logits.bytes;
    this.wanted = logits.count;
    this.shapes = shapes;
    this.keptEnd = end;
  }

  get isCutInto(): boolean {
    return this.keptEnd < this.span.end;
  }

  wordsOf({ id }: Pick<AuditReplica, 'id'>): ReplicaWords {
    let words = this.#words.get(id);
    if (words === undefined) {
      words = { commit: unsaid(), reveal: unsaid() };
      this.#words.set(id, words);
    }
    return words;
  }

  /** The verified commit of a replica that is known to have made one. */
  commitOf(replica: AuditReplica): Commit {
    return this.wordsOf(replica).commit.first!.signed.statement;
  }

  revealOf(replica: AuditReplica): Reveal {
    return this.wordsOf(replica).reveal.first!.signed.statement;
  }

  testimony(replica: AuditReplica): Testimony {
    const { commit, reveal } = this.wordsOf(replica);
    const { id: peer, numericClass } = replica;
    return { peer, numericClass, commit: commit.first!.signed, reveal: reveal.first!.signed };
  }

  /** True once all of these have committed, and so has the requester. */
  isCommitted(replicas: readonly AuditReplica[]): boolean {
    return this.signature !== null && replicas.every((replica) => this.wordsOf(replica).commit.first?.isGood === true);
  }

  isRevealed(replicas: readonly AuditReplica[]): boolean {
    return this.isChallenged && replicas.every((replica) => this.wordsOf(replica).reveal.first?.isGood === true);
  }
}

/** True for a word that was asked for and has not come. */
export function isOwed({ first, byMs }: Word<unknown>): boolean {
  return first === null && byMs !== Infinity;
}

function unsaid<Statement>(): Word<Statement> {
  return { first: null, second: null, byMs: Infinity, isExcused: false };
}
