import type { MutantList, Result, Results, Status } from './mutant.ts';

/** The fate of the mutants by kind, and those that nothing killed. */
export function tableOf({ mutants }: MutantList, { commit, results }: Results): string {
  const kinds = [...new Set(mutants.map(({ kind }) => kind))].sort();
  const rows = [...kinds, null].map((kind) => {
    const some = mutants.flatMap((mutant, i) =>
      (kind === null || mutant.kind === kind) && results[i] !== undefined ? [results[i]] : [],
    );
    const count = (...statuses: Status[]): number => some.filter(({ status }) => statuses.includes(status)).length;
    const killed = count('killed', 'timeout');
    const all = some.length - count('lost');
    const cells = [kind ?? 'all', some.length, count('lost'), killed, count('survived'), count('untested')];
    return `| ${[...cells, all === 0 ? '' : `${((100 * killed) / all).toFixed(1)} %`].join(' | ')} |`;
  });
  const head = [
    '| kind | mutants | lost | killed | survived | untested | rate |',
    '| --- | --- | --- | --- | --- | --- | --- |',
  ];
  const alive = mutants.flatMap((mutant, i) => {
    const result = results[i];
    return result === undefined || !isAlive(result) ? [] : [line(i, result, mutant)];
  });
  const lost = mutants.flatMap((mutant, i) => {
    const result = results[i];
    if (result?.status !== 'lost') return [];
    const { instead } = result;
    const words = instead === null ? 'nothing instead' : `instead ${line(i, instead.result, instead.mutant)}`;
    return [`${i} lost ${mutant.file} ${mutant.member} ${mutant.kind} ${mutant.expression}; ${words}`];
  });
  return [`At ${commit}:`, ...head, ...rows, '', ...alive, '', ...lost].join('\n');
}

/** Both results of the mutants that both have, and those that were killed and are not any more. */
export function comparisonOf({ mutants }: MutantList, before: Results, after: Results): string {
  const both = mutants.flatMap((mutant, i) => {
    const [was, is] = [before.results[i], after.results[i]];
    return was === undefined || is === undefined || was.status === 'lost' || is.status === 'lost'
      ? []
      : [{ mutant, i, was, is }];
  });
  const killed = (some: readonly Result[]): number => some.filter((result) => !isAlive(result)).length;
  const worse = both.filter(({ was, is }) => !isAlive(was) && isAlive(is));
  return [
    `Of ${both.length} mutants found in both, killed before: ${killed(both.map(({ was }) => was))}, after: ${killed(both.map(({ is }) => is))}.`,
    ...worse.map(({ mutant, i, is }) => `killed before, not after: ${line(i, is, mutant)}`),
  ].join('\n');
}

function isAlive({ status }: Result): boolean {
  return status === 'survived' || status === 'untested';
}

function line(number: number, { status, at }: Result, mutant: MutantList['mutants'][number]): string {
  return `${number} ${status} ${at} ${mutant.member} ${mutant.kind}: ${mutant.original} -> ${mutant.replacement} in ${mutant.expression}`;
}
