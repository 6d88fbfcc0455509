import { shortId } from '#shared/ids.ts';
import type { Check } from '#shared/receipt/verify/check.ts';
import { printable } from '#shared/receipt/verify/printable.ts';
import { uncheckedWork } from '#shared/receipt/verify/unchecked-work.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import type { FolderReport } from './replay-receipt.ts';

const MARKS = { passed: 'ok', failed: 'FAILED', 'not-checked': '-' };

/** A verification; its checks may be more than those of a receipt alone. */
type Described = Omit<Verification, 'checks'> & {
  readonly checks: readonly (Omit<Check, 'name'> & { readonly name: string })[];
};

/** A verification in lines for people: each check by name, then what it shows and what it does not. */
export function describeVerification({ id, summary, checks, proved, notProved }: Described): string[] {
  const lines = [`Receipt ${id ?? 'unknown'}`];
  if (summary !== null) {
    const { model, tokens, stages, tier, finishedAt } = summary;
    const said = `${model.name} (${model.quantization}), ${stages.length} stages, ${tokens.answer} tokens, ${finishedAt}`;
    lines.push(printable(`It says: ${said}, ${tier === 'unchecked' ? uncheckedWork(summary) : tier}`));
  }
  lines.push('');
  const width = Math.max(...checks.map(({ name }) => name.length));
  for (const { name, status, detail } of checks) {
    lines.push(`${MARKS[status].padEnd(6)}  ${name.padEnd(width)}  ${printable(detail)}`);
  }
  if (proved.length > 0) lines.push('', 'What this shows:', ...proved.map((line) => `  ${printable(line)}`));
  lines.push('', 'What it does not show:', ...notProved.map((line) => `  ${printable(line)}`));
  const open = checks.filter(({ status }) => status === 'not-checked').map(({ name }) => name);
  if (open.length > 0) {
    lines.push(
      '',
      `Not checked: ${open.join(', ')}. Success speaks only of what was checked; --require asks for more.`,
    );
  }
  return lines;
}

/** The comparisons of a replay, in lines for people. */
export function describeReplay({ outputs, tokens, isSpelt, goesOn, isPrompted }: FolderReport): string[] {
  const lines = ['Computed again here:'];
  const replicas = new Map<string, FolderReport['outputs'][number][]>();
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
