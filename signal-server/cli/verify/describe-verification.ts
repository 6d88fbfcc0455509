import type { Check } from '#shared/receipt/verify/check.ts';
import { printable } from '#shared/receipt/verify/printable.ts';
import { uncheckedWork } from '#shared/receipt/verify/unchecked-work.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';

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
