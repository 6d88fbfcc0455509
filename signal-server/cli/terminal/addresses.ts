import { networkInterfaces } from 'node:os';

/** Where people on this machine and on the local network reach a server bound to `host`. */
export function reachableAt(host: string, port: number): { local: string; shared: string[] } {
  const isEverywhere = host === '0.0.0.0' || host === '::';
  if (!isEverywhere) {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
    return { local: url, shared: isLoopback(host) ? [] : [url] };
  }
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const outside = addresses.filter(({ internal, family }) => !internal && family === 'IPv4');
  return { local: `http://localhost:${port}`, shared: outside.map(({ address }) => `http://${address}:${port}`) };
}

/** True for a host that only programs on this machine reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');
}
