import type { ChorusError } from '#shared/errors.ts';
import type { Tier } from '#shared/judge/finding.ts';
import type { Check, CheckName } from '#shared/receipt/verify/check.ts';
import { uncheckedWork } from '#shared/receipt/verify/unchecked-work.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import { TIER_MEANINGS } from './explain-check.ts';
import { sentenceOf } from './explain-error.ts';
import { plural } from './format.ts';

export { printable } from '#shared/receipt/verify/printable.ts';

/** The words for receipts, in one place. */

interface CheckWords {
  /** The thing that is looked at. */
  readonly title: string;
  /** The meaning of its failure. */
  readonly failure: string;
}

const WORDS: Readonly<Record<CheckName, CheckWords>> = {
  format: { title: 'It is a receipt', failure: 'This file is no receipt' },
  statement: {
    title: 'It says what a receipt has to say',
    failure: 'This receipt does not say what a receipt has to say',
  },
  'requester-signature': {
    title: 'Signature of who asked',
    failure: 'This receipt was changed, or is not signed by the key it names',
  },
  answer: { title: 'The answer at hand', failure: 'This is not the answer that the receipt is about' },
  prompt: {
    title: 'The prompt at hand',
    failure: 'This is not the prompt that was asked, or the salt belongs to another receipt',
  },
  tokens: { title: 'The tokens', failure: 'These are not the tokens of this receipt' },
  request: {
    title: 'What is said of the request can be',
    failure: 'This receipt tells of a request that cannot be',
  },
  'route-signature': {
    title: 'Signature of the server on the route',
    failure: 'The server’s signature on the route is false',
  },
  'route-match': {
    title: 'The route is that of the receipt',
    failure: 'The receipt names other volunteers, layers or another model than the server assigned',
  },
  draw: {
    title: 'The draw of the volunteers',
    failure: 'The server gave the work to others than the draw did, or made the draw up',
  },
  model: {
    title: 'The manifest of the model at hand',
    failure: 'This is not the manifest of the receipt’s model, or it says something else of the model',
  },
  'attestation-signatures': {
    title: 'Signatures of the volunteers',
    failure: 'A volunteer’s signature in this receipt is false',
  },
  'attestation-match': {
    title: 'What the volunteers signed is about this answer',
    failure: 'What a volunteer signed is about something else',
  },
  chains: {
    title: 'Each stage took in what the one before passed on',
    failure: 'A stage took in something else than the one before it passed on',
  },
  coverage: { title: 'All layers and all positions are there', failure: 'Parts of the work are missing' },
  verdict: {
    title: 'The verdict follows from what was found',
    failure: 'The verdict says more than what was found',
  },
  thresholds: {
    title: 'The limits are those that were measured',
    failure: 'The work was held to other limits than those that were measured',
  },
  times: { title: 'The times fit together', failure: 'The times in this receipt do not fit together' },
  'log-entry': { title: 'Its entry for the log', failure: 'This receipt is in no log' },
  'log-inclusion': { title: 'The entry is in the log', failure: 'This receipt is not in the log that it names' },
  'log-signature': {
    title: 'Signature of the log',
    failure: 'The checkpoint is not signed by a log of the policy',
  },
  witnesses: {
    title: 'Witnesses have seen the log like this',
    failure: 'Too few witnesses of the policy have seen the log like this',
  },
};

/** The checks in the parts in which they are shown. */
export const CHECK_GROUPS: readonly { readonly title: string; readonly names: readonly CheckName[] }[] = [
  { title: 'The file', names: ['format', 'statement', 'requester-signature'] },
  { title: 'Question and answer', names: ['answer', 'prompt', 'tokens', 'request'] },
  { title: 'The route', names: ['route-signature', 'route-match', 'draw', 'model', 'times'] },
  {
    title: 'The work',
    names: ['attestation-signatures', 'attestation-match', 'chains', 'coverage', 'verdict', 'thresholds'],
  },
  { title: 'The log', names: ['log-entry', 'log-inclusion', 'log-signature', 'witnesses'] },
];

export const STATUS_NAMES: Readonly<Record<Check['status'], string>> = {
  passed: 'passed',
  failed: 'failed',
  'not-checked': 'not checked',
};

export function nameCheck(name: CheckName): string {
  return WORDS[name].title;
}

export interface VerdictText {
  readonly tone: 'calm' | 'warm' | 'danger';
  readonly title: string;
  readonly text: string;
}

/** The outcome of a verification: a sentence, and what it means. */
export function explainVerification({ checks, summary, standing }: Verification): VerdictText {
  const failed = checks.filter(({ status }) => status === 'failed');
  const [first] = failed;
  if (first !== undefined) {
    const more = failed.length === 1 ? 'One check failed.' : `${failed.length} checks failed.`;
    return { tone: 'danger', title: WORDS[first.name].failure, text: `${more} Do not rely on what it says.` };
  }
  const passed = checks.filter(({ status }) => status === 'passed').length;
  const open = checks.length - passed;
  const made = `${plural(passed, 'check')} passed${open === 0 ? '.' : `; for ${open} something is not at hand.`}`;
  const { tone, title, text } = VALID[summary?.tier ?? 'unchecked'];
  const said = summary?.tier === 'unchecked' ? `It says of the work: ${uncheckedWork(summary)}.` : text;
  const word = standing === null ? '' : ` ${standing.sentence.slice(standing.sentence.indexOf('This is'))}`;
  const isLogged = checks.some(({ name, status }) => name === 'log-signature' && status === 'passed');
  const isAnybodys = standing?.known.length === 0 && !isLogged;
  return { tone: isAnybodys ? 'warm' : tone, title, text: `${said} ${made}${word}` };
}

const VALID: Readonly<Record<Tier, VerdictText>> = {
  checked: {
    tone: 'calm',
    title: 'Checked, on the word of those who signed it',
    text: `Of every chunk of its work it says: ${TIER_MEANINGS.checked}.`,
  },
  settled: {
    tone: 'calm',
    title: 'Settled, on the word of those who signed it',
    text: `Of some of its work it says: ${TIER_MEANINGS.settled}.`,
  },
  unchecked: {
    tone: 'warm',
    title: 'No check failed, but not all work was checked',
    text: `Of some of it, it says: ${TIER_MEANINGS.unchecked}.`,
  },
  disputed: {
    tone: 'warm',
    title: 'No check failed, and it tells of a dispute',
    text: `Of some of its work it says: ${TIER_MEANINGS.disputed}.`,
  },
};

/** Why what a receipt says of its model is compared with nothing. */
export function explainNoManifest(error: ChorusError): string {
  const { code, details } = error;
  const open = 'So what the receipt says of its model is compared with nothing, and that check stays open.';
  if (details['status'] === 404) return `This server does not have the manifest of its model. ${open}`;
  if (code === 'digest-mismatch') return `This server gave another manifest than the one the receipt names. ${open}`;
  return `The manifest of its model could not be fetched. ${sentenceOf(error)} ${open}`;
}

export const REQUESTER_KINDS = {
  tab: 'a browser tab',
  gateway: 'a server’s gateway, for one of its clients',
  cli: 'the command line',
} as const;

/** The use of the salt, said wherever it is given away. */
export const SALT_MEANING =
  'The receipt holds the prompt only as a hash. This salt opens it: whoever has the salt can tell whether a prompt is the ' +
  'one that was asked. Without it nobody can, so give it only to those who may know.';
