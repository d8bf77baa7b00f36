import { clickFields, onClick } from '../click.js';
import type { Capture } from '../tracking.js';

/** `click`: which element, where on the page and in the window, and where its link leads. */
export const clicks: Capture = ({ track }) => onClick((element, event) => track('click', clickFields(element, event)));
