import type { VerifySignature } from '../../crypto/identity.ts';
import { ChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import type { Calibration } from '../../judge/thresholds.ts';
import type { PolicyVerdict } from '../../log/policy.ts';
import type { Note } from '../../log/signed-note.ts';
import type { Route } from '../../route/route.ts';
import type { Prompt } from '../../text/prompt.ts';
import type { Attestation } from '../evidence/attestation.ts';
import type { ReceiptFile, ReceiptPredicate, ReceiptStatement, ReceiptVersion } from '../receipt.ts';

export type CheckName =
  | 'format'
  | 'requester-signature'
  | 'statement'
  | 'request'
  | 'answer'
  | 'prompt'
  | 'tokens'
  | 'route-signature'
  | 'route-match'
  | 'draw'
  | 'model'
  | 'attestation-signatures'
  | 'attestation-match'
  | 'chains'
  | 'coverage'
  | 'verdict'
  | 'thresholds'
  | 'times'
  | 'log-entry'
  | 'log-inclusion'
  | 'log-signature'
  | 'witnesses';

export interface Check {
  readonly name: CheckName;
  readonly status: 'passed' | 'failed' | 'not-checked';
  /** The finding, in words for people. */
  readonly detail: string;
}

/** The outcome of a check that did not fail: its finding, or why there was nothing to look at. */
export type Found = string | { readonly notChecked: string };

/** A check that failed throws a ChorusError, whose message says in what. */
export type CheckReceipt = (subject: Subject) => Found | Promise<Found>;

/** Everything that a verifier has besides the receipt. */
export interface Holdings {
  readonly answer?: string;
  /** As the chat template wrote it. */
  readonly prompt?: string;
  /** The same in pieces, of which version 2 has the hash. */
  readonly pieces?: Prompt;
  readonly salt?: Uint8Array<ArrayBuffer>;
  /** Of prompt and answer. */
  readonly tokens?: readonly number[];
  /** The payload of the model's signed manifest: its bytes as they were hashed. */
  readonly manifest?: Uint8Array<ArrayBuffer>;
  /** Keys that the reader knows, as ids or as raw keys in base64. */
  readonly known?: { readonly servers?: readonly string[]; readonly requesters?: readonly string[] };
  /** The outcome of computing the answer again, where that was done and nothing differed. */
  readonly replayed?: Replayed;
  /** A tlog-policy: which log, and which witnesses (C2SP). */
  readonly policy?: string;
  /** True where the policy is made of the keys that a server names, so that it says nothing of whom its reader trusts. */
  readonly isPolicyOfServer?: boolean;
  readonly calibrations: readonly Calibration[];
  readonly verify: VerifySignature;
}

/** What a replay has shown. */
export interface Replayed {
  /** True where all chunks were computed, so that every token of the answer is what is drawn here. */
  readonly isWhole: boolean;
  /** Whether the tokens spell the answer at hand, and are those of the prompt at hand; null where there was none. */
  readonly isSpelt: boolean | null;
  readonly isPrompted: boolean | null;
}

/** A replica's place in the receipt, with what it signed where that can be read. */
export interface Signer {
  readonly stage: number;
  readonly replica: ReplicaEntry;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly attestation: Attestation;
}
/** A third replica that settled a difference, with what it signed over a route of its own, where that can be read. */
export interface Third {
  readonly stage: number;
  /** Where the span begins and ends that it settled. */
  readonly start: number;
  readonly end: number;
  readonly arbiter: ThirdEntry;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly attestation: Attestation;
  readonly route: Route;
}
type ThirdEntry = NonNullable<ReceiptPredicate['spans'][number]['stages'][number]['arbiter']>;
export type ReplicaEntry = ReceiptPredicate['stages'][number]['replicas'][number];

/** A receipt taken apart, and what there is to check it with. */
export interface Subject {
  readonly file: ReceiptFile;
  readonly id: Digest;
  readonly version: ReceiptVersion;
  readonly statement: ReceiptStatement;
  readonly predicate: ReceiptPredicate;
  /** Null where the envelope holds none. */
  readonly route: Route | null;
  readonly signers: readonly Signer[];
  readonly thirds: readonly Third[];
  /** Replicas, and thirds, whose envelopes hold no attestation, or no route. */
  readonly unreadable: readonly Pick<ReplicaEntry, 'id'>[];
  readonly holdings: Holdings;
  /** The word of the policy's witnesses. Their signatures are verified when it is first asked for, and only then. */
  readonly witnessed: (note: Note) => Promise<PolicyVerdict>;
}

/** The third that signed for a stage of a span. */
export function thirdOf(
  { thirds }: Pick<Subject, 'thirds'>,
  { start }: { readonly start: number },
  stage: number,
): Third | undefined {
  return thirds.find((third) => third.stage === stage && third.start === start);
}

/** Ends a check as failed. */
export function refuse(reason: string): never {
  throw new ChorusError('check-failed', reason);
}

/** Ends a check as failed unless it holds. */
export function demand(holds: boolean, reason: string): asserts holds {
  if (!holds) refuse(reason);
}

/** `3 chunks`, `1 chunk`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
