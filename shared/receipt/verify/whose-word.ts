import { fromBase64 } from '../../bytes.ts';
import { peerIdOf } from '../../crypto/identity.ts';
import { shortId } from '../../ids.ts';
import type { Tier } from '../../judge/finding.ts';
import { count, type Check, type CheckName, type Holdings, type Subject } from './check.ts';

/** The tier of a receipt, and on whose word it rests. */
export interface Standing {
  /** As the findings and signatures in it come to. */
  readonly tier: Tier;
  /** Those on whose word it rests whom the reader knows: keys that were named, a log and witnesses of a policy. */
  readonly known: readonly ('server' | 'requester' | 'log' | 'witnesses')[];
  /** True where the volunteers were drawn from a roster that a log of the policy had before, so that the server chose none of them. */
  readonly isDrawn: boolean;
  /** All of this in sentences for people. */
  readonly sentence: string;
}

const TIER_WORDS: Readonly<Record<Tier, string>> = {
  checked: 'two keys or more agreed on all of its work',
  settled: 'where two keys differed, a third decided',
  unchecked: 'not all of its work was checked by a second key that signed',
  disputed: 'two keys differed, and nobody decided',
};

/** Null where the receipt does not hold. */
export function standingOf(subject: Subject, checks: readonly Check[]): Standing | null {
  if (checks.some(({ status }) => status === 'failed')) return null;
  const { predicate, holdings } = subject;
  const has = (name: CheckName) => checks.some((check) => check.name === name && check.status === 'passed');
  const { tier } = predicate.verdict;
  const isOwnPolicy = holdings.isPolicyOfServer !== true;
  const known: Standing['known'][number][] = [];
  if (isKnown(predicate.route.serverKey, holdings.known?.servers)) known.push('server');
  if (isKnown(predicate.requester.publicKey, holdings.known?.requesters)) known.push('requester');
  if (isOwnPolicy && has('log-inclusion') && has('log-signature')) known.push('log');
  if (isOwnPolicy && has('log-inclusion') && has('witnesses')) known.push('witnesses');
  const signers = new Set(subject.signers.map(({ replica }) => replica.id)).size;
  const server = shortId(peerIdOf(fromBase64(predicate.route.serverKey)));
  const sentences = [
    `${tier}: ${TIER_WORDS[tier]}.`,
    `This is the word of requester ${shortId(predicate.requester.id)}, of ${count(signers, 'volunteer')} that signed, and of server ${server}, which named them.`,
    ofDraw(has('draw'), holdings),
    ...ofKnown(known),
    ...onRequestersWord(holdings, has),
  ];
  const isDrawn = has('draw') && holdings.policy !== undefined;
  return { tier, known, isDrawn, sentence: sentences.join(' ') };
}

/** True if a raw key in base64 is among those that the reader knows, by itself or by its id. */
export function isKnown(key: string, known: readonly string[] = []): boolean {
  return known.includes(key) || known.includes(peerIdOf(fromBase64(key)));
}

function ofDraw(isDrawn: boolean, { policy }: Holdings): string {
  if (!isDrawn) return 'The server chose the volunteers.';
  return policy === undefined
    ? 'The volunteers were drawn from a roster in a log; without a policy nobody says whose log that is.'
    : 'The volunteers were drawn from the server’s roster: who is on it the server says, who of them came it could not choose.';
}

function ofKnown(known: Standing['known']): string[] {
  const keys = known.filter((each) => each === 'server' || each === 'requester');
  const named =
    keys.length === 0
      ? known.length === 0
        ? 'None of these keys is one that you named, and no log that you trust has it: one person can have made all of them.'
        : 'None of these keys is one that you named.'
      : `You named the key of the ${keys.join(' and of the ')}.`;
  if (!known.includes('log')) return [named];
  return [
    named,
    known.includes('witnesses')
      ? 'A log of your policy has it, and witnesses saw that.'
      : 'A log of your policy has it; no witness of yours vouches for that log.',
  ];
}

/** What nothing but the requester says, however the rest came out. */
function onRequestersWord({ replayed }: Holdings, has: (name: CheckName) => boolean): string[] {
  const isShown = replayed !== undefined;
  const open = [
    ...(isShown && replayed.isPrompted === true ? [] : ['which prompt was asked']),
    ...(isShown && replayed.isSpelt === true && has('answer') ? [] : ['which text the answer is']),
    ...(isShown && replayed.isWhole ? [] : ['how its tokens were drawn']),
  ];
  if (open.length === 0) return ['Computed again here, the tokens of this prompt draw this answer.'];
  const words = open.length === 1 ? open[0]! : `${open.slice(0, -1).join(', ')} and ${open.at(-1)!}`;
  return [`On the requester’s word alone: ${words}.`];
}
