import { shortId } from '#shared/ids.ts';
import type { RepeatReport } from '#shared/peer/replay/repeat-answer.ts';
import { describeReplayVerdict } from '#shared/receipt/replay/describe-replay.ts';
import { printable } from '#shared/receipt/verify/printable.ts';

/** The comparisons of a replay, in lines for people: the verdict first, then each replica. */
export function describeReplay(report: RepeatReport): string[] {
  const { outputs, tokens, isSpelt, goesOn, isPrompted } = report;
  const { title, where } = describeReplayVerdict(report);
  const lines = ['Computed again here:', `  ${title}.`, ...where.map((sentence) => `  ${sentence}`)];
  const replicas = new Map<string, RepeatReport['outputs'][number][]>();
  for (const output of outputs) {
    const key = `stage ${output.stage + 1} of ${shortId(output.replica)}`;
    replicas.set(key, [...(replicas.get(key) ?? []), output]);
  }
  for (const [key, chunks] of replicas) {
    const list = (outcome: string) => chunks.filter((each) => each.outcome === outcome).map(({ chunk }) => chunk);
    const parts = [
      { found: list('equal'), text: 'equal bit for bit' },
      { found: list('differs'), text: 'DIFFERENT' },
      { found: list('not-compared'), text: `not compared (${chunks.find(({ reason }) => reason !== '')?.reason})` },
    ].filter(({ found }) => found.length > 0);
    lines.push(`  ${key}: ${parts.map(({ found, text }) => `chunks ${found.join(', ')} ${text}`).join('; ')}`);
  }
  const { compared, equal, undrawn, largestGap, limit, beyond } = tokens;
  const off = `the others off by ${largestGap.toPrecision(2)} at most, where ${limit} is allowed`;
  const gap = equal === compared ? '' : `, ${off}${beyond > 0 ? `; ${beyond} BY MORE THAN THEY MAY BE` : ''}`;
  lines.push(`  tokens: ${equal} of ${compared} are those the sampler draws here${gap}`);
  if (undrawn > 0)
    lines.push(`  ${undrawn} tokens of the answer WERE FED: no logits were computed that they could be drawn from`);
  const spelt = goesOn ? 'begin with the answer, and go on after it' : 'spell the answer';
  if (isPrompted !== null) {
    lines.push(`  prompt: the tokens that were fed ${isPrompted ? 'are' : 'ARE NOT'} those of the prompt at hand`);
  }
  if (isSpelt !== null) lines.push(`  text: the tokens ${isSpelt ? spelt : 'DO NOT spell the answer'}`);
  return lines.map(printable);
}
