// @ts-check
/** Which slash commands fit what is being written. Pure. */

/**
 * @typedef {{name: string, usage: string, help: string, arguments: string, required: boolean,
 *   choices: string[], aliases: string[], where: string}} Command
 * @typedef {{shown: string, help: string, text: string, whole: boolean}} Offer `text`: the draft
 *   with it; `whole`: nothing more has to be written behind it
 */

/**
 * Whether a line is a command. A path, as `/etc/hosts`, is none: its first word has more slashes.
 * @param {string} text
 */
export function isCommand(text) {
  return /^\s*\/[A-Za-z?]*(\s|$)/.test(text);
}

/** What a draft can be completed to. @param {string} text @param {Command[]} known @returns {Offer[]} */
export function offers(text, known) {
  const name = /^\/([A-Za-z]*)$/.exec(text);
  if (name) return named(`/${name[1].toLowerCase()}`, known);
  const argument = /^(\/[A-Za-z]+) (\S*)$/.exec(text);
  if (!argument) return [];
  const command = known.find((each) => [each.name, ...each.aliases].includes(argument[1].toLowerCase()));
  const begun = argument[2].toLowerCase();
  return (command?.choices ?? [])
    .filter((choice) => choice.startsWith(begun) && choice !== begun)
    .map((choice) => ({ shown: choice, help: "", text: `${argument[1]} ${choice}`, whole: true }));
}

/** @param {string} begun @param {Command[]} known @returns {Offer[]} */
function named(begun, known) {
  const fits = known.filter((each) => [each.name, ...each.aliases].some((name) => name.startsWith(begun)));
  if (fits.length === 1 && fits[0].name === begun && !fits[0].arguments) return [];
  return fits.map((each) => ({
    shown: each.usage,
    help: each.help,
    text: each.arguments ? `${each.name} ` : each.name,
    whole: !each.required,
  }));
}
