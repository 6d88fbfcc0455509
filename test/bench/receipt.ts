import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { receiptEntry } from '#shared/receipt/receipt-entry.ts';
import { verifyReceipt } from '#shared/receipt/verify-receipt.ts';
import { addressOf, runWitness, serveLog, type ServedLog } from '../support/log-stand.ts';
import { giveAnswer, makePeople, makeReceipt } from '../support/receipts.ts';
import { figure, type Figure } from './figures.ts';
import { PUBLIC_URL } from './log.ts';
import type * as pageModule from './page/receipt.ts';
import { startPageServer } from './page-server.ts';

/** What a verifier has, as it can be handed to a page. */
export interface VerifiedReceipt {
  readonly receipt: unknown;
  readonly answer: string;
  readonly prompt: string;
  readonly salt: readonly number[];
  readonly tokens: readonly number[];
  readonly policy: string;
}

const WITNESSES = ['witness.example/one', 'witness.example/two'] as const;
const COSIGNATURES_MS = 60_000;
const TIMES = 200;

/**
 * A whole receipt, of an answer by two stages that were both checked, in the log of a data folder that two witnesses cosign:
 * its size, and how long it takes to verify all of it, by a policy that asks for both witnesses, here and in a page.
 */
export async function measureReceipt(dataFolder: string, browser: Browser): Promise<Figure[]> {
  const unseen = await serveLog(dataFolder, { publicUrl: PUBLIC_URL });
  const witnesses = await Promise.all(
    WITNESSES.map((name, i) => runWitness(unseen.url, join(dataFolder, `witness-${i}`), name)),
  );
  await unseen.stop();
  const log = await serveLog(dataFolder, { publicUrl: PUBLIC_URL, witnesses: witnesses.map(addressOf) });
  try {
    const verified = await logReceipt(log, policyOf(log, witnesses));
    const { proof } = verified.receipt;
    const here = await timeHere(verified);
    const there = await timeInPage(log.url, browser, verified);
    return [
      figure('receipt: the whole file', 'bytes', [Buffer.byteLength(JSON.stringify(verified.receipt))]),
      figure('receipt: its proof, with 2 witnesses', 'bytes', [Buffer.byteLength(proof)]),
      figure('receipt: verifying it, the first time', 'ms', here.slice(0, 1)),
      figure('receipt: verifying it', 'ms', here.slice(1)),
      figure('receipt: verifying it in a page, the first time', 'ms', there.slice(0, 1)),
      figure('receipt: verifying it in a page', 'ms', there.slice(1)),
    ];
  } finally {
    await log.stop();
    for (const witness of witnesses) await witness.stop();
  }
}

type Logged = VerifiedReceipt & { readonly receipt: { readonly proof: string } };

async function logReceipt({ service }: ServedLog, policy: string): Promise<Logged> {
  const given = await giveAnswer(await makePeople());
  const file = await makeReceipt(given);
  const index = await service.append(receiptEntry(file));
  const proof = await service.prove(index, COSIGNATURES_MS);
  const { answer, prompt, tokens } = given;
  return { receipt: { ...file, proof }, answer, prompt, tokens, salt: [...given.salt], policy };
}

function policyOf({ service }: ServedLog, witnesses: readonly { readonly verifierKey: string }[]): string {
  const lines = [
    `log ${service.verifierKey}`,
    ...witnesses.map(({ verifierKey }, i) => `witness w${i} ${verifierKey}`),
    'group both all w0 w1',
    'quorum both',
  ];
  return `${lines.join('\n')}\n`;
}

async function timeHere({ salt, ...verified }: VerifiedReceipt): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < TIMES; i++) {
    const startedMs = performance.now();
    const { checks } = await verifyReceipt({ ...verified, salt: Uint8Array.from(salt), verify });
    times.push(performance.now() - startedMs);
    const open = checks.find(({ status }) => status !== 'passed');
    if (open !== undefined) throw new Error(`${open.name}: ${open.detail}`);
  }
  return times;
}

async function timeInPage(serverUrl: URL, browser: Browser, verified: VerifiedReceipt): Promise<readonly number[]> {
  const pages = await startPageServer(serverUrl.href, ['test/bench/page/receipt.ts']);
  try {
    const page = await browser.newPage();
    await page.goto(pages.url);
    return await page.evaluate(
      async ([given, times]) => {
        const measure = '/test/bench/page/receipt.ts';
        const { timeVerification } = (await import(measure)) as typeof pageModule;
        return timeVerification(given, times);
      },
      [verified, TIMES] as const,
    );
  } finally {
    await pages.stop();
  }
}
