// One sentence for every name that another file should know and does not.
import { nearest, type Finding, type YamlFile } from '../../core/yaml-file.ts';

/** A name, what it should be the name of, and the names that there are. */
export interface UnknownName {
  readonly name: string;
  readonly what: string;
  readonly known: readonly string[];
}

/** A finding for a name that is not known, with the nearest that is. */
export function unknownName(
  file: Pick<YamlFile<unknown>, 'finding'>,
  path: readonly PropertyKey[],
  { name, what, known }: UnknownName,
): Finding {
  const suggestion = nearest(name, known);
  return file.finding(path, `there is no ${what} "${name}"`, {
    code: 'unknown_reference',
    ...(suggestion === undefined ? {} : { suggestion }),
  });
}
