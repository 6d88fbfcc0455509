import { shortId } from '../../ids.ts';
import { describeNumericClass } from '../../judge/numeric-class.ts';
import { describeRange } from '../../model/stage.ts';
import { undrawnTokens } from '../evidence/runs.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import type { Check, CheckName, Subject } from './check.ts';

type Stage = ReceiptPredicate['stages'][number];

const KINDS = { tab: 'a browser tab', gateway: "a server's gateway, for one of its clients", cli: 'the command line' };

/** The checks of a receipt in sentences for people: what they show, and what they do not. */
export interface Claims {
  readonly proved: readonly string[];
  readonly notProved: readonly string[];
}

export function claimsOf(subject: Subject, checks: readonly Check[]): Claims {
  const has = (...names: CheckName[]) =>
    names.every((name) => checks.some((check) => check.name === name && check.status === 'passed'));
  return {
    proved: [
      ...provedOfRequest(subject, has),
      ...provedOfDraw(checks, has),
      ...provedOfStages(subject, has),
      ...provedOfLog(subject, checks, has),
    ],
    notProved: [
      ...notProvedOfStages(subject, has),
      ...notProvedOfDraw(checks, has),
      ...notProvedOfRequest(subject, has),
      ...notProvedOfLog(subject, has),
    ],
  };
}

type Has = (...names: CheckName[]) => boolean;

function provedOfRequest({ predicate, holdings }: Subject, has: Has): string[] {
  const { requester, model } = predicate;
  const proved: string[] = [];
  const { replayed } = holdings;
  if (replayed?.isPrompted === true) proved.push('The tokens that were fed are those of the prompt at hand.');
  if (replayed?.isWhole === true) proved.push('Every token of the answer is what is drawn here with these settings.');
  if (replayed?.isSpelt === true) proved.push('These tokens spell the answer at hand.');
  if (has('requester-signature')) {
    const who = `${shortId(requester.id)} (${KINDS[requester.kind]})`;
    proved.push(`The key ${who} signed this receipt, and nothing in it was changed since.`);
  }
  if (has('requester-signature', 'answer')) proved.push('The answer at hand is the one it is about.');
  if (has('requester-signature', 'prompt')) proved.push('The prompt at hand is the one it is about.');
  if (has('requester-signature', 'model')) {
    const { name, quantization, root } = model;
    proved.push(
      `The manifest at hand is the one it names: ${name} (${quantization}), from files with root ${root.sha256}.`,
    );
  }
  if (has('requester-signature', 'attestation-signatures', 'attestation-match', 'tokens')) {
    proved.push('The tokens at hand are those that the first stage was fed.');
  }
  if (has('route-signature', 'route-match')) {
    const key = shortId(predicate.requester.id);
    proved.push(`A server assigned the model of manifest ${model.manifest.sha256} to these keys for ${key}.`);
  }
  return proved;
}

/** The one line on how the replicas were found. */
function provedOfDraw(checks: readonly Check[], has: Has): string[] {
  if (!has('requester-signature', 'route-signature', 'route-match', 'draw')) return [];
  return [`Nobody chose the replicas of each stage: ${checks.find(({ name }) => name === 'draw')!.detail}.`];
}

function notProvedOfDraw(checks: readonly Check[], has: Has): string[] {
  const { status, detail } = checks.find(({ name }) => name === 'draw')!;
  if (status === 'not-checked') return [`That chance, and not the server, found the replicas: ${detail}.`];
  if (!has('draw')) return [];
  return [
    'Who fills the roster, and which layers each volunteer holds: the operator does. Nor that operator and requester did not try nonces together until a draw pleased them.',
  ];
}

function provedOfStages({ predicate }: Subject, has: Has): string[] {
  const isBorneOut = has('requester-signature', 'route-match', 'attestation-signatures', 'attestation-match', 'chains');
  if (!isBorneOut) return [];
  return predicate.stages.map((stage, i) => {
    const signed = stage.replicas.filter(({ signed }) => signed !== null);
    const keys = signed
      .map(({ id, numericClass }) => `${shortId(id)} (${describeNumericClass(numericClass)})`)
      .join(' and ');
    const name = `Stage ${i + 1} (${describeRange(stage.range)})`;
    if (signed.length === 0) return `${name}: no key signed that it ran this.`;
    if (!has('coverage', 'verdict') || signed.length === 1) return `${name}: ${keys} signed what went in and out.`;
    return `${name}: ${keys} signed what went in and out; ${agreement(predicate, stage, i)}.`;
  });
}

/** `Agreed` is never `correct`: it says what keys did, not what is true. */
function agreement({ spans }: ReceiptPredicate, { replicas }: Stage, stage: number): string {
  const judged = spans.flatMap((span) => span.stages.filter((each) => each.stage === stage));
  const checked = judged.filter(({ tier }) => tier === 'checked');
  const isExact = checked.every(({ findings }) => findings.every((finding) => finding.isExact));
  const signed = new Set(replicas.filter(({ signed }) => signed !== null).map(({ id }) => id));
  const keys = Math.min(
    ...checked.map(({ findings }) => 1 + findings.filter(({ shadow }) => signed.has(shadow)).length),
  );
  if (checked.length === 0) return 'they are not said to agree';
  const how = isExact ? 'bit for bit' : 'within tolerance, as the requester found,';
  return `${keys === 2 ? 'two' : keys} keys agreed ${how} in ${checked.length} of ${judged.length} chunks`;
}

function provedOfLog({ holdings }: Subject, checks: readonly Check[], has: Has): string[] {
  const proved: string[] = [];
  const detail = (name: CheckName) => checks.find((check) => check.name === name)!.detail;
  const { isPolicyOfServer = false } = holdings;
  const log = isPolicyOfServer ? 'the log that this server names' : 'a log of the policy';
  const witnesses = isPolicyOfServer ? ', by the keys that this server names' : '';
  if (has('log-inclusion', 'log-signature')) proved.push(`It is in ${log}: ${detail('log-inclusion')}.`);
  if (has('log-inclusion', 'log-signature', 'witnesses')) {
    proved.push(`The log's state was ${detail('witnesses')}${witnesses}.`);
  }
  return proved;
}

function notProvedOfStages({ predicate }: Subject, has: Has): string[] {
  const { stages, spans, verdict } = predicate;
  const notProved: string[] = [];
  if (spans.some(({ stages }) => stages.some(({ tier }) => tier === 'checked'))) {
    notProved.push(
      'That the work is right: two keys agreed; collusion of both is not excluded.',
      'How close they came where their bits differ: these numbers are on the word of the requester.',
    );
    if (!has('thresholds'))
      notProved.push('That the limits they were held to mean anything: they are the requester’s.');
  }
  const { unchecked, settled, disputed } = verdict.counts;
  const open = spans.filter((span) => span.tier === 'unchecked' && isOpen(span)).length;
  if (unchecked > open)
    notProved.push(
      `Anything about the work in ${unchecked - open} of ${spans.length} chunks: nobody who signed checked it.`,
    );
  if (open > 0)
    notProved.push(
      `The tokens of ${open} of ${spans.length} chunks: those who agreed are of devices that nobody measured, or drew different tokens, or went on from such.`,
    );
  if (settled > 0)
    notProved.push(
      `That differences in ${settled} of ${spans.length} chunks were settled rightly: the requester says so.`,
    );
  if (disputed > 0)
    notProved.push(`Who was right in ${disputed} of ${spans.length} chunks: replicas differed, and nobody could tell.`);
  const silent = stages.flatMap(({ replicas }) => replicas.filter(({ signed }) => signed === null));
  if (silent.length > 0) {
    notProved.push(`What ${silent.map(({ id }) => shortId(id)).join(', ')} did: no signature of theirs is here.`);
  }
  return notProved;
}

/** True where two computed every stage of a span, and its tokens may be anything all the same. */
function isOpen({ stages }: ReceiptPredicate['spans'][number]): boolean {
  const reasons = stages.filter(({ tier }) => tier === 'unchecked').map(({ reason }) => reason ?? 'alone');
  return reasons.every((reason) => reason !== 'alone' && reason !== 'not-signed');
}

/** What version 1 has no field for. */
const NEVER_BOUND = [
  'Which of several receipts of its session this is: version 1 does not number them, so there may be others of the same answer.',
  'Which characters of the prompt were markers: version 1 hashes its text as a whole.',
  'Which engine computed it, beyond the first digits of its digest: version 1 has no more of it.',
  'That a third which settled a difference was there: version 1 has no signature of it.',
] as const;

function notProvedOfRequest({ version, predicate, holdings }: Subject, has: Has): string[] {
  const notProved: string[] = [];
  const { isWhole = false, isSpelt = null, isPrompted = null } = holdings.replayed ?? {};
  if (!has('answer')) notProved.push('Which text the answer is: none was compared.');
  if (!has('prompt')) notProved.push('Which prompt was asked: none was compared.');
  else if (isPrompted !== true) {
    notProved.push(
      'That this prompt is what the tokens spell that were fed: the requester says so, and a replay can tell.',
    );
  }
  const { name, root, manifest } = predicate.model;
  const what = `manifest ${shortId(manifest.sha256)} is of the model ${name}, from files with root ${shortId(root.sha256)}`;
  notProved.push(
    has('requester-signature', 'model')
      ? 'That the manifest describes the model you think of: compare its digest.'
      : `That ${what}: the requester says so.`,
  );
  if (!isWhole) {
    notProved.push('That the model drew these tokens: nobody signs which were drawn. A replay can tell.');
    notProved.push('That these were the sampling settings: the requester says so, and a replay can tell.');
  }
  const undrawn = has('coverage') ? undrawnTokens(predicate) : 0;
  if (undrawn > 0) {
    notProved.push(
      `Where ${undrawn} of the ${predicate.request.tokens.answer} tokens of the answer come from: these keys were given them, and computed nothing to draw them from.`,
    );
  }
  if (isSpelt !== true) {
    notProved.push('That the text is what the tokens spell: the requester says so, and a replay can tell.');
  }
  if (version === 1) notProved.push(...NEVER_BOUND);
  if (predicate.requester.kind === 'gateway') {
    notProved.push('Which client asked: the gateway is the requester here, and saw the prompt and the answer.');
  }
  notProved.push('Who the people behind the keys are.');
  return notProved;
}

function notProvedOfLog({ holdings }: Subject, has: Has): string[] {
  if (!has('log-inclusion')) return ['That it was ever logged: it may be one of several told to different people.'];
  if (!has('log-signature')) return ['That a log you know signed the checkpoint: there was no policy with its key.'];
  if (!has('witnesses')) return ['That the log shows everybody the same: no witness of yours vouches for it.'];
  return holdings.isPolicyOfServer ? ['That log and witnesses are any you know: this server named their keys.'] : [];
}
