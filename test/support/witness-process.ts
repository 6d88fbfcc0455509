import { startChorus } from './chorus-process.ts';

/** `chorus witness` in a process of its own. */
export interface WitnessProcess {
  /** Its line of a policy has this key. */
  readonly verifierKey: string;
  /** Its key and URL, as `chorus serve --witness` takes them. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts a witness of a server's log and waits until it says who it is. */
export async function startWitnessProcess(serverUrl: string, dataFolder: string): Promise<WitnessProcess> {
  const args = ['witness', '--log', serverUrl, '--host', '127.0.0.1', '--port', '0', '--data', dataFolder];
  const { ready, stop } = await startChorus(args, /--witness '((\S+) \S+)'/);
  const [, address = '', verifierKey = ''] = ready;
  return { verifierKey, address, stop };
}
