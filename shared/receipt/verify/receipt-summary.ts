import type { PeerId, SessionId } from '../../ids.ts';
import type { Tier } from '../../judge/finding.ts';
import type { StageRange } from '../../model/stage.ts';
import type { ReceiptPredicate, ReceiptVersion } from '../receipt.ts';
import { logPosition } from './check-log.ts';
import type { Subject } from './check.ts';

/** The content of a receipt, for a picture of it. It is as true as the checks say. */
export interface ReceiptSummary {
  readonly model: ReceiptPredicate['model'];
  readonly version: ReceiptVersion;
  readonly requester: ReceiptPredicate['requester'];
  /** Raw key of the server that signed the route, in base64. */
  readonly serverKey: string;
  readonly session: SessionId;
  /** Its place among those of its session; null in version 1. */
  readonly record: NonNullable<ReceiptPredicate['record']> | null;
  /** SHA-256 of the answer. */
  readonly answer: string;
  readonly tokens: { readonly prompt: number; readonly answer: number };
  readonly positions: number;
  readonly sampling: ReceiptPredicate['request']['sampling'];
  readonly stages: readonly {
    readonly range: StageRange;
    readonly replicas: readonly {
      readonly id: PeerId;
      readonly role: 'primary' | 'shadow';
      readonly numericClass: string;
      readonly hasSigned: boolean;
    }[];
  }[];
  readonly tier: Tier;
  readonly counts: ReceiptPredicate['verdict']['counts'];
  readonly spans: ReceiptPredicate['spans'];
  readonly faults: ReceiptPredicate['faults'];
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Where its proof says that it is logged; null without a proof that can be read. */
  readonly log: { readonly origin: string; readonly index: number; readonly size: number } | null;
  /** Those of the policy that cosigned; without a policy, by name, those who are said to have. */
  readonly witnesses: readonly { readonly name: string; readonly timeSeconds: number | null }[];
}

export async function summarize(subject: Subject): Promise<ReceiptSummary> {
  const { version, statement, predicate } = subject;
  const { model, requester, request, positions, stages, verdict, spans, faults, startedAt, finishedAt } = predicate;
  return {
    model,
    version,
    requester,
    serverKey: predicate.route.serverKey,
    session: predicate.session,
    record: predicate.record ?? null,
    answer: statement.subject[0]!.digest.sha256,
    tokens: { prompt: request.tokens.prompt, answer: request.tokens.answer },
    positions,
    sampling: request.sampling,
    stages: stages.map(({ range, replicas }) => ({
      range,
      replicas: replicas.map(({ id, role, numericClass, signed }) => ({
        id,
        role,
        numericClass,
        hasSigned: signed !== null,
      })),
    })),
    tier: verdict.tier,
    counts: verdict.counts,
    spans,
    faults,
    startedAt,
    finishedAt,
    ...(await logOf(subject)),
  };
}

async function logOf(subject: Subject): Promise<Pick<ReceiptSummary, 'log' | 'witnesses'>> {
  try {
    const position = logPosition(subject);
    if (position === null) return { log: null, witnesses: [] };
    const { origin, size } = position.checkpoint;
    const log = { origin, index: position.proof.index, size };
    if (subject.holdings.policy !== undefined)
      return { log, witnesses: (await subject.witnessed(position.note)).cosigners };
    const others = position.note.signatures.filter(({ name }) => name !== origin);
    return { log, witnesses: others.map(({ name }) => ({ name, timeSeconds: null })) };
  } catch {
    return { log: null, witnesses: [] };
  }
}
