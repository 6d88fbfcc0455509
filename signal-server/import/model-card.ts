/** What a model card says in its front matter and first paragraph. */
export interface CardFacts {
  readonly licence: string;
  readonly description: string;
}

/** Reads the two facts a manifest carries from a Hugging Face style card; what is not there is empty. */
export function readCard(card: Uint8Array | null): CardFacts {
  const text = card === null ? '' : new TextDecoder().decode(card).replaceAll('\r\n', '\n');
  const [, frontMatter = '', body = text] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(text) ?? [];
  const licence = /^licen[sc]e:[ \t]*["']?([^"'\n]*)/m.exec(frontMatter)?.[1]?.trim() ?? '';
  const paragraphs = body.split(/\n\s*\n/).map((paragraph) => paragraph.trim());
  const prose = paragraphs.find((paragraph) => /^[\p{L}*_]/u.test(paragraph)) ?? '';
  return {
    licence: licence.slice(0, 200),
    description: prose.replaceAll(/\s+/g, ' ').replaceAll(/[*_`]/g, '').slice(0, 2000),
  };
}
