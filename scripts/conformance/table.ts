import { z } from 'zod';

/** What one client found of one feature. */
export const findingSchema = z.strictObject({
  client: z.string(),
  topic: z.string(),
  feature: z.string(),
  result: z.enum(['works', 'refused by name', 'differs']),
  why: z.string(),
});
export type Finding = z.infer<typeof findingSchema>;

/** A client that was tried: its name in findings, and the packages that it came in; null where it could not be had. */
export interface TriedClient {
  readonly name: string;
  readonly packages: readonly string[];
  readonly missing: string | null;
}

const HEAD = `# Conformance

What clients of the OpenAI API find at a server of Chorus. This page is written by \`npm run conformance\`, which installs the clients into a temporary folder, starts a server with the default model,
and has each client try each feature; no row is written by hand. _Works_: the client got what it expects. _Refused by name_: the server does not serve this and says so, naming the parameter or the URL
([api.md](api.md)). _Differs_: neither, and what was found instead.
`;

/** The page, topic by topic in the order in which they first come, each with its features and, for each client, what it found. */
export function conformancePage(clients: readonly TriedClient[], findings: readonly Finding[]): string {
  const topics = [...new Set(findings.map(({ topic }) => topic))];
  const sections = topics.flatMap((topic) => {
    const ofTopic = findings.filter((finding) => finding.topic === topic);
    const features = [...new Set(ofTopic.map(({ feature }) => feature))];
    const rows = features.flatMap((feature) =>
      ofTopic
        .filter((finding) => finding.feature === feature)
        .map(({ client, result, why }, i) => [i === 0 ? feature : '', client, result, describe(result, why)]),
    );
    return [`## ${topic}`, table(['What is asked for', 'Client', 'Found', ''], rows)];
  });
  const counts = clients.map(({ name, packages, missing }) => {
    const own = findings.filter(({ client }) => client === name);
    const count = (result: Finding['result']): string => String(own.filter((each) => each.result === result).length);
    const figures = missing === null ? [count('works'), count('refused by name'), count('differs')] : ['—', '—', '—'];
    return [name, missing ?? packages.map((each) => `\`${each}\``).join(', '), ...figures];
  });
  const summary = table(['Client', 'Packages', 'Works', 'Refused by name', 'Differs'], counts);
  return `${[HEAD.trim(), summary, ...sections].join('\n\n')}\n`;
}

function describe(result: Finding['result'], why: string): string {
  return result === 'refused by name' ? `\`${why}\`` : why;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[]): string => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [cells(head), cells(head.map(() => '---')), ...rows.map(cells)].join('\n');
}
