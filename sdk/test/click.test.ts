import { describe, expect, test, vi } from 'vitest';
import type { CaptureName } from '../src/captures.js';
import { click, fire, news, page, start, types } from './watched.js';

const all: CaptureName[] = ['clicks', 'rageClicks', 'deadClicks', 'outbound', 'downloads', 'attributes', 'forms'];
const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('rage clicks', () => {
  test('the third quick click at one place is told, once', async () => {
    page('<button id="b">Pay</button>');
    start(['rageClicks']);
    for (let i = 0; i < 6; i++) {
      click('#b', { clientX: 100 + 5 * i, clientY: 50, pageX: 1 });
      await later(300);
    }
    expect(news()).toMatchObject([
      ['rage_click', { element_id: 'b', element_text: 'Pay', properties: { viewport_x: 110 } }],
    ]);
  });

  test.each<[string, string, (i: number) => object, number]>([
    ['slow ones', '<button id="b">x</button>', () => ({}), 1100],
    ['ones far apart', '<button id="b">x</button>', (i) => ({ clientX: 40 * i }), 100],
    ['a key held down', '<button id="b">x</button>', () => ({ detail: 0 }), 100],
    ['a field, where they mark words', '<input id="b">', () => ({}), 100],
    ['a private part', '<p data-no-track><button id="b">x</button></p>', () => ({}), 100],
  ])('not: %s', async (_, html, at, apart) => {
    page(html);
    start(['rageClicks']);
    for (let i = 0; i < 5; i++) {
      click('#b', at(i));
      await later(apart);
    }
    expect(types()).toEqual([]);
  });

  test('not: marking a paragraph', () => {
    page('<p id="p">words</p>');
    getSelection()?.selectAllChildren(document.querySelector('#p') as Element);
    start(['rageClicks']);
    for (let i = 0; i < 3; i++) click('#p');
    expect(types()).toEqual([]);
    getSelection()?.removeAllRanges();
  });
});

describe('dead clicks', () => {
  const things = `<button id="b">Pay</button><p id="text">Words</p><div id="space"><p>x</p></div><img id="img">
    <a id="top" href="#">x</a><a id="away" href="/next">x</a><label id="l">x<input id="f"></label>`;

  test.each(['#b', '#text', '#img', '#top'])('nothing happens: %s', async (selector) => {
    page(things);
    start(['deadClicks']);
    const at = Date.now();
    click(selector);
    await later(1900);
    expect(types()).toEqual([]);
    await later(200);
    expect(news()).toMatchObject([['dead_click', { timestamp: at, element_id: selector.slice(1) }]]);
  });

  test.each<[string, string, () => void]>([
    ['the page changes', '#b', () => document.body.append('thanks')],
    ['a class changes', '#b', () => document.body.classList.toggle('open')],
    [
      'a text changes',
      '#b',
      () => {
        (document.querySelector('#text')?.firstChild as Text).data = 'Other';
      },
    ],
    ['something scrolls', '#b', () => fire(document.body, 'scroll')],
    ['something gets the focus', '#b', () => fire(document.querySelector('#f'), 'focus')],
    ['a form is sent', '#b', () => fire(document.body, 'submit')],
    ['the page is hidden', '#b', () => fire(document, 'visibilitychange')],
    ['the browser follows the link', '#away', () => {}],
    ['it was the space between things', '#space', () => {}],
    ['it was a field', '#f', () => {}],
    [
      'the visitor goes on to something that answers',
      '#b',
      () => {
        click('#text');
        document.body.append('!');
      },
    ],
  ])('not dead when %s', async (_, selector, happen) => {
    page(things);
    start(['deadClicks']);
    click(selector);
    await later(500);
    happen();
    await later(5000);
    expect(types()).toEqual([]);
  });

  test('a link that the page keeps for itself, without doing anything', async () => {
    page(things);
    start(['deadClicks']);
    document.querySelector('#away')?.addEventListener('click', (event) => event.preventDefault());
    click('#away');
    await later(2100);
    expect(types()).toEqual(['dead_click']);
  });

  test('a change inside a component is an answer', async () => {
    page('<div id="host"></div>');
    const root = (document.querySelector('#host') as Element).attachShadow({ mode: 'open' });
    root.innerHTML = '<button>x</button>';
    start(['deadClicks']);
    const button = root.querySelector('button') as Element;
    fire(button, 'click', { detail: 1 });
    await later(500);
    root.append('answer');
    await later(3000);
    expect(types()).toEqual([]);
  });
});

describe('links', () => {
  const link = (attributes: string) => page(`<a id="a" ${attributes}><b id="in">Go</b></a>`);
  const told = (more = {}) => {
    start(['outbound', 'downloads']);
    document.querySelector('#a')?.addEventListener('click', (event) => event.preventDefault());
    click('#in', more);
    return news();
  };

  test('to another host', () => {
    link('href="https://b.example/p?token=1&x=2"');
    const properties = { href: 'https://b.example/p?x=2', host: 'b.example' };
    expect(told()).toEqual([['outbound_click', { element_id: 'a', element_text: 'Go', properties }]]);
  });

  test.each([
    ['href="/report.PDF?x=1"', '/report.PDF?x=1', 'report.PDF', 'PDF'],
    ['href="https://cdn.example/a/setup.exe"', 'https://cdn.example/a/setup.exe', 'setup.exe', 'exe'],
    ['href="/make" download="list.csv"', '/make', 'list.csv', 'csv'],
    ['href="/make" download', '/make', 'make', undefined],
    ['href="data:text/plain,s3cret" download="x.txt"', 'data:', 'x.txt', 'txt'],
  ])('to a file: %s', (attributes, href, file_name, file_extension) => {
    link(attributes);
    const properties = { href: href.replace(/^\//, 'https://shop.example/'), file_name, file_extension };
    expect(told()).toEqual([
      ['file_download', { element_id: 'a', element_text: 'Go', properties: JSON.parse(JSON.stringify(properties)) }],
    ]);
  });

  test.each(['href="/next"', 'href="#part"', 'href="mailto:a@b.example"', 'href="javascript:void 0"', ''])(
    'that lead nowhere else: %s',
    (attributes) => {
      link(attributes);
      expect(told()).toEqual([]);
    },
  );

  test('opened in another tab with the middle button, but not the menu of the right one', () => {
    link('href="https://b.example/"');
    start(['outbound']);
    for (const button of [1, 2]) fire(document.querySelector('#in'), 'auxclick', { button });
    expect(types()).toEqual(['outbound_click']);
  });
});

describe('named elements', () => {
  test('say their own event with its properties', () => {
    page(`<div id="d" data-track-event="cart_add" data-track-prop-product-id="p1" data-track-prop-price="9.5"
      data-track-prop-quantity="2" data-track-prop-product-name="1984" data-track-prop-gift="true"
      data-track-prop-sku="007" data-track-prop-size="1e3"><b id="in">Add</b></div>`);
    start(['attributes']);
    click('#in');
    const properties = {
      product_id: 'p1',
      price: 9.5,
      quantity: 2,
      product_name: '1984',
      gift: true,
      sku: '007',
      size: '1e3',
    };
    expect(news()).toEqual([['cart_add', { element_id: 'd', properties: { ...properties, product_id: 'p1' } }]]);
  });

  test('a form says it when it is submitted, not when it is clicked', () => {
    page(
      '<form id="f" data-track-event="signup" data-track-prop-plan="pro"><button id="b" type="button">Go</button></form>',
    );
    start(['attributes']);
    click('#b');
    expect(types()).toEqual([]);
    fire(document.querySelector('#f'), 'submit');
    expect(news()).toEqual([['signup', { element_id: 'f', properties: { plan: 'pro' } }]]);
  });

  test('nothing in private parts, nothing without a name', () => {
    page('<p data-no-track><b id="a" data-track-event="x">x</b></p><b id="b" data-track-event="">x</b>');
    start(['attributes']);
    click('#a');
    click('#b');
    expect(types()).toEqual([]);
  });
});

test('one thing done says each of its meanings once', async () => {
  page('<a id="a" href="https://b.example/" data-track-event="partner">x</a>');
  document.addEventListener('click', (event) => event.preventDefault(), { once: true });
  start(all);
  click('#a');
  await later(100);
  document.body.append('answer');
  expect(types().sort()).toEqual(['click', 'outbound_click', 'partner']);
});

test('inside a component, too, what is private stays private', () => {
  page('<section data-no-track><div id="host"></div></section><a href="/x" id="open"></a>');
  const host = document.querySelector('#host') as Element;
  host.attachShadow({ mode: 'open' }).innerHTML = '<button>s3cret</button>';
  const shown = document.querySelector('#open') as Element;
  const inner = document.createElement('div');
  shown.append(inner);
  inner.attachShadow({ mode: 'open' }).innerHTML = '<i>x</i>';
  start(['clicks']);
  fire(host.shadowRoot?.querySelector('button') ?? null, 'click');
  fire(inner.shadowRoot?.querySelector('i') ?? null, 'click');
  expect(news()).toMatchObject([['click', { element_id: 'open', properties: { tag: 'a' } }]]);
});
