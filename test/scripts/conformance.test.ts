import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { conformancePage, findingSchema, type Finding } from '../../scripts/conformance/table.ts';

const client = { name: 'a client', packages: ['client@1.0.0'], missing: null };
const finding = (topic: string, feature: string, more: Partial<Finding> = {}): Finding => ({
  ...{ client: 'a client', topic, feature, result: 'works', why: '' },
  ...more,
});

describe('the page of conformance', () => {
  it('has a table for each topic and a row for each finding, a hundred and more', () => {
    const topics = ['Chat', 'Tools', 'Keys'];
    const findings = Array.from({ length: 120 }, (_, i) => finding(topics[i % 3]!, `feature ${i}`));
    const page = conformancePage([client], findings);
    expect([...page.matchAll(/^## (.*)$/gm)].map(([, topic]) => topic)).toEqual(topics);
    expect(page.match(/^\| feature \d+ \| a client \| works \|/gm)).toHaveLength(120);
    expect(page).toContain('| a client | `client@1.0.0` | 120 | 0 | 0 |');
  });

  it('says why, keeps what others say in its cell, and names a client that could not be had', () => {
    const findings = [
      finding('Tools', 'tools', { result: 'refused by name', why: 'tools' }),
      finding('Tools', 'pipes', { result: 'differs', why: 'found a|b' }),
    ];
    const page = conformancePage([client, { ...client, name: 'other', missing: 'could not be installed' }], findings);
    expect(page).toContain('| tools | a client | refused by name | `tools` |');
    expect(page).toContain('| pipes | a client | differs | found a\\|b |');
    expect(page).toContain('| other | could not be installed | — | — | — |');
  });

  it('takes no verdict of another kind', () => {
    expect(findingSchema.safeParse({ ...finding('a', 'b'), result: 'mostly works' }).success).toBe(false);
  });

  it('has in each row one of three verdicts, and over a hundred rows', () => {
    const [, ...topics] = readFileSync('docs/conformance.md', 'utf8').split(/^## /m);
    const rows = topics.flatMap((topic) => [...topic.matchAll(/^\|(.*)\|$/gm)].slice(2).map(([, cells]) => cells!));
    const verdicts = rows.map((cells) => cells.split('|')[2]!.trim());
    expect(verdicts.filter((verdict) => !findingSchema.shape.result.safeParse(verdict).success)).toEqual([]);
    expect(verdicts.length).toBeGreaterThan(100);
  });
});
