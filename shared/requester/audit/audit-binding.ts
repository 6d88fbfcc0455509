import { equalBytes } from '../../bytes.ts';
import type { Envelope } from '../../crypto/envelope.ts';
import type { PeerId } from '../../ids.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import type { Commit } from '../../judge/statement.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import { sketchProof } from '../../proof/proof.ts';
import { CHAIN_START, foldTail, splitRows } from '../../rows/row-chain.ts';
import type { AuditPanel, AuditReplica } from './audit-replica.ts';
import type { AuditSpan } from './audit-span.ts';

/** A replica that is held to have failed, and the one that may have instead. */
export interface Blame {
  readonly replica: AuditReplica;
  readonly partner: PeerId | null;
  readonly code: CheckFailure;
}

/**
 * The replicas that accuse a primary of having sent them something else than it says. One's word against another's shows
 * nothing; two replicas that accuse the same primary do.
 */
export class Accusations {
  readonly #accusers = new Map<PeerId, Set<PeerId>>();

  /** `sender` and these receivers contradict each other. */
  contradict(sender: AuditReplica, receivers: readonly AuditReplica[], codes: ContradictionCodes): Blame[] {
    if (receivers.length === 0) return [];
    const accusers = this.#accusers.get(sender.id) ?? new Set();
    this.#accusers.set(sender.id, accusers);
    for (const { id } of receivers) accusers.add(id);
    if (accusers.size > 1) return [{ replica: sender, partner: null, code: codes.sender }];
    return receivers.map((replica) => ({ replica, partner: sender.id, code: codes.receiver }));
  }
}

interface ContradictionCodes {
  readonly sender: CheckFailure;
  readonly receiver: CheckFailure;
}

const CHAINS = { sender: 'output-mismatch', receiver: 'input-mismatch' } as const;
/** Rows that a receiver could not take in. */
export const REFUSALS = { sender: 'rows-refused', receiver: 'rows-refused' } as const;
const SKETCHES = { sender: 'sketch-mismatch', receiver: 'sketch-mismatch' } as const;

/**
 * Holds the commits of a span, which all live replicas have made, against each other: each stage must have taken in what
 * the one before says it gave, the first one the requester's tokens, and each primary in the runs that were sent; the
 * requester must have what the last one gave; and nobody may contradict what it said of the span before. In the order of
 * stages.
 */
export function commitBlames(span: AuditSpan, panel: AuditPanel, accusations: Accusations): Blame[] {
  const { own } = span;
  const torn = panel.live.filter((replica) => !continues(replica.last, span.commitOf(replica)));
  const blames: Blame[] = torn.map((replica) => ({ replica, partner: null, code: 'commit-malformed' }));
  for (let stage = 0; stage < panel.stages; stage++) {
    const sender = stage === 0 ? null : panel.primary(stage - 1);
    const given = sender === null ? own : span.commitOf(sender);
    // A replica that contradicts itself is no witness.
    const receivers = [panel.primary(stage), ...panel.shadows(stage)].filter((replica) => !torn.includes(replica));
    const others = receivers.filter((receiver) => !isTaken(given, span.commitOf(receiver)));
    if (sender === null) {
      for (const replica of others) blames.push({ replica, partner: null, code: 'input-mismatch' });
    } else {
      blames.push(...accusations.contradict(sender, others, CHAINS));
    }
    const primary = panel.primary(stage);
    if (!torn.includes(primary) && !equalBytes(span.commitOf(primary).shapes, span.shapes)) {
      // The stage before may have put its rows together in another way.
      blames.push({ replica: primary, partner: sender?.id ?? null, code: 'shapes-mismatch' });
    }
  }
  const last = panel.primary(panel.stages - 1);
  if (!isTaken(span.commitOf(last), own)) blames.push({ replica: last, partner: null, code: 'output-mismatch' });
  return blames;
}

/** True if the rows that `giver` put out are those that `taker` took in. */
function isTaken(giver: Commit, taker: Commit): boolean {
  return equalBytes(giver.outputFrom, taker.inputFrom) && equalBytes(giver.outputTo, taker.inputTo);
}

function continues(last: Commit | null, { start, inputFrom, outputFrom }: Commit): boolean {
  if (start === 0) return equalBytes(inputFrom, CHAIN_START) && equalBytes(outputFrom, CHAIN_START);
  if (last?.end !== start) return true;
  return equalBytes(inputFrom, last.inputTo) && equalBytes(outputFrom, last.outputTo);
}

/**
 * Holds the reveals of a span against each other. The commits have shown that each stage took in the very bytes the one
 * before gave, so their sketches must be equal; where they are not, the larger number is believed.
 */
export function revealBlames(span: AuditSpan, panel: AuditPanel, accusations: Accusations): Blame[] {
  const blames: Blame[] = [];
  for (let stage = 1; stage < panel.stages; stage++) {
    const sender = panel.primary(stage - 1);
    const given = span.revealOf(sender).output;
    const receivers = [panel.primary(stage), ...panel.shadows(stage)];
    const others = receivers.filter((receiver) => !equalBytes(given, span.revealOf(receiver).input));
    const agreeing = receivers.length - others.length;
    if (agreeing > 0 && 1 + agreeing > others.length) {
      for (const replica of others) blames.push({ replica, partner: null, code: 'sketch-mismatch' });
    } else {
      blames.push(...accusations.contradict(sender, others, SKETCHES));
    }
  }
  const last = panel.primary(panel.stages - 1);
  if (!equalBytes(span.revealOf(last).output, span.logits)) {
    blames.push({ replica: last, partner: null, code: 'sketch-mismatch' });
  }
  for (const replica of panel.live) {
    if (replica.role === 'shadow' && !isOwnOutput(span, replica, panel.primary(replica.stage))) {
      blames.push({ replica, partner: null, code: 'sketch-mismatch' });
    }
  }
  return blames;
}

/** False if a shadow shows other rows than it committed to, as far as that can be told without them. */
function isOwnOutput(span: AuditSpan, shadow: AuditReplica, primary: AuditReplica): boolean {
  const { start, end, outputFrom, outputTo } = span.commitOf(shadow);
  const { output } = span.revealOf(shadow);
  if (shadow.range.head) {
    return equalBytes(foldTail(outputFrom, end - start, splitRows(output, span.wanted)), outputTo);
  }
  return !equalBytes(outputTo, span.commitOf(primary).outputTo) || equalBytes(output, span.revealOf(primary).output);
}

/** The proof for the server, where there is one. Rows are in the requester's hands only where the last primary sent them. */
export function proofOf({ replica, code }: Blame, span: AuditSpan, route: Envelope): Proof | null {
  if (code !== 'sketch-mismatch' || replica.role !== 'primary' || !replica.range.head) return null;
  if (equalBytes(span.revealOf(replica).output, span.logits)) return null;
  return sketchProof(route, 'output', span.testimony(replica), span.logits);
}
