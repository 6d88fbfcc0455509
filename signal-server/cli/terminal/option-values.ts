import { InvalidArgumentError, Option } from 'commander';

/** A parser for commander: a number in [least, most], a whole one if asked for. */
export function numberWithin(least: number, most: number, kind: 'whole' | 'any' = 'any'): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const isRight =
      text.trim() !== '' && value >= least && value <= most && (kind === 'any' || Number.isSafeInteger(value));
    if (!isRight)
      throw new InvalidArgumentError(`Expected a ${kind === 'whole' ? 'whole ' : ''}number from ${least} to ${most}.`);
    return value;
  };
}

export function serverOption(): Option {
  return new Option('--server <url>', 'signal server to join')
    .env('CHORUS_SERVER')
    .default(new URL('http://localhost:8787'), 'http://localhost:8787')
    .argParser(serverUrl);
}

/** A parser for commander. */
export function httpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new InvalidArgumentError('Expected an http(s) URL.');
}

/** A parser for commander: a server is at the root of its host. */
function serverUrl(text: string): URL {
  const url = httpUrl(text);
  if (url.href === `${url.origin}/`) return url;
  throw new InvalidArgumentError(`Expected the address of a server without a path, such as ${url.origin}.`);
}
