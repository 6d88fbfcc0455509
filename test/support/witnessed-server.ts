import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer, type ServerOptions, type ServerProcess } from './server-process.ts';
import { startWitnessProcess, type WitnessProcess } from './witness-process.ts';

/** A server whose log is cosigned by two witnesses, each in its own process. */
export interface WitnessedServer extends ServerProcess {
  /** A tlog-policy: this log, if both witnesses have seen it. */
  readonly policy: string;
}

/** Starts the server once for the witnesses to learn the key of its log, and again with them. */
export async function startWitnessedServer(
  options: ServerOptions & { readonly template: string },
): Promise<WitnessedServer> {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-witnessed-'));
  const stops: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const { template, ...more } = options;
    const dataFolder = join(folder, 'data');
    const first = await startServer({ anchors: 0, template, dataFolder });
    let witnesses: WitnessProcess[];
    let logKey: string;
    try {
      logKey = (await (await fetch(`${first.url}/log/vkey`)).text()).trim();
      witnesses = [];
      for (const name of ['one', 'two']) {
        const witness = await startWitnessProcess(first.url, join(folder, name));
        stops.push(witness.stop);
        witnesses.push(witness);
      }
    } finally {
      await first.stop();
    }
    const addresses = witnesses.map(({ address }) => address);
    const server = await startServer({ ...more, dataFolder, extraArguments: ['--witness', ...addresses] });
    stops.push(() => server.stop());
    return { ...server, policy: policyOf(logKey, witnesses), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function policyOf(logKey: string, witnesses: readonly WitnessProcess[]): string {
  const lines = [
    `log ${logKey}`,
    ...witnesses.map(({ verifierKey }, i) => `witness w${i} ${verifierKey}`),
    'group both all w0 w1',
    'quorum both',
  ];
  return `${lines.join('\n')}\n`;
}
