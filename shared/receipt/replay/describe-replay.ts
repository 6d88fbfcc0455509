import { shortId } from '../../ids.ts';
import { describeRange } from '../../model/stage.ts';
import { placeOf, verdictOf, type ComparedText, type ReplayVerdict } from './replay-report.ts';

/** A replay in words: a sentence, and what stands behind it. Names of classes in it are what a receipt calls them. */
export interface ReplayWords {
  readonly verdict: ReplayVerdict;
  readonly title: string;
  /** Where it differs. */
  readonly where: readonly string[];
  /** What was compared, and what could not be. */
  readonly compared: readonly string[];
}

const TITLES: Readonly<Record<ReplayVerdict, string>> = {
  same: 'Every number of this answer is the same here',
  close: 'Every token of this answer is one that is drawn here; not all rows could be compared',
  fed: 'Nothing of this answer is another here, but not all of it was drawn',
  differs: 'This answer is not the same here',
  nothing: 'Nothing of this answer could be compared here',
};

/** The words for a replay, and for where it differs. Stages, tokens and chunks count from 1. */
export function describeReplayVerdict(report: ComparedText): ReplayWords {
  const verdict = verdictOf(report);
  return {
    ...{ verdict, title: TITLES[verdict] },
    where: differences(report),
    compared: [...reasonsOf(report), ...tokensOf(report)],
  };
}

function differences(report: ComparedText): string[] {
  const { rows, token } = placeOf(report);
  const { ranges, promptTokens } = report.of;
  const said: string[] = [];
  if (rows !== null) {
    const { stage, start, end, replica } = rows;
    const name = `stage ${stage + 1} of ${ranges.length} (${describeRange(ranges[stage]!)})`;
    const where = `at tokens ${start + 1} to ${end}, counted from the beginning of the prompt`;
    said.push(`The first rows that differ are those of ${shortId(replica)}, which ran ${name}, ${where}.`);
  }
  if (token !== null) {
    said.push(`The first token that is not drawn here is token ${token + 1 - promptTokens} of the answer.`);
  }
  if (report.isPrompted === false) said.push('The tokens that were fed are not those of the prompt at hand.');
  if (report.isSpelt === false) said.push('The tokens do not spell the answer at hand.');
  return said;
}

function reasonsOf({ outputs }: ComparedText): string[] {
  const primaries = outputs.filter(({ role }) => role === 'primary');
  const equal = primaries.filter(({ outcome }) => outcome === 'equal').length;
  const share = shareOf(equal, primaries.length);
  const said =
    equal === 0 ? [] : [`${share} chains that the primaries signed are equal bit for bit to those computed here.`];
  const reasons = new Map<string, Set<number>>();
  for (const { outcome, reason, stage } of primaries) {
    if (outcome === 'not-compared') reasons.set(reason, (reasons.get(reason) ?? new Set()).add(stage));
  }
  for (const [reason, stages] of reasons) {
    const names = [...stages].map((stage) => stage + 1).join(', ');
    said.push(`Rows of stage ${names} could not be compared: ${reason}.`);
  }
  return said;
}

function tokensOf({ tokens }: ComparedText): string[] {
  const { compared, equal, undrawn, limit, largestGap } = tokens;
  const said: string[] = [];
  if (compared > 0) {
    const off = `; the others are off by ${largestGap.toPrecision(2)} at most, where ${limit} is allowed`;
    const share = shareOf(equal, compared);
    said.push(`${share} tokens are those that the sampler draws here${equal === compared ? '' : off}.`);
  }
  if (undrawn > 0) {
    said.push(
      `${undrawn} tokens of the answer were fed to this route: nobody computed logits that they could be drawn from.`,
    );
  }
  return said;
}

function shareOf(part: number, whole: number): string {
  return part === whole ? `All ${whole}` : `${part} of ${whole}`;
}
