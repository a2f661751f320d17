// Passwords that guessers try first and that are long enough to pass the length rule. Lower case.
const list = `
12345678 123456789 1234567890 12345678910 0123456789 987654321 9876543210 11223344 1122334455 123123123 123321123
123454321 12341234 112233445566 password password1 password12 password123 password1234 password! password1! passw0rd
p@ssw0rd p@ssword p@55w0rd pa$$word passwort passwort1 passwort123 motdepasse contrasena contraseña wachtwoord
qwertyui qwertyuiop qwerty12 qwerty123 qwerty1234 qwerty12345 qwertz123 qwertzuiop azertyuiop 1q2w3e4r 1q2w3e4r5t
1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc zaq12wsx zaq1zaq1 q1w2e3r4 q1w2e3r4t5 asdfghjk asdfghjkl asdf1234 asdfasdf zxcvbnm1
zxcvbnm123 qazwsxedc qweasdzxc abcdefgh abcdefghi abcd1234 abc12345 abc123456 abcabc123 a1b2c3d4 a1b2c3d4e5 aa123456
iloveyou iloveyou1 iloveyou2 iloveyou! ihateyou letmein1 letmein123 letmein! welcome1 welcome12 welcome123 welcome!
welcome2024 welcome2025 welcome2026 admin123 admin1234 admin12345 administrator adminadmin admin@123 root1234 rootroot
changeme changeme1 changeme123 changeit default1 default123 test1234 testtest testing1 testing123 guest123 guest1234
user1234 username username1 temp1234 temporary secret12 secret123 mypassword mypassword1 superman superman1 batman123
spiderman spiderman1 starwars starwars1 pokemon1 pokemon123 dragon12 dragon123 monkey12 monkey123 sunshine sunshine1
princess princess1 princess123 football football1 football123 baseball baseball1 basketball hockey123 soccer123
liverpool liverpool1 chelsea1 arsenal1 juventus barcelona realmadrid mercedes ferrari1 porsche1 corvette mustang1
harley12 computer computer1 internet internet1 samsung1 samsung123 google123 facebook facebook1 linkedin whatsapp
microsoft windows10 windows11 minecraft fortnite playstation nintendo jennifer michelle michael1 jordan23 daniel12
charlie1 charlie123 thomas12 andrew12 ashley12 jessica1 nicole12 samantha victoria elizabeth alexander christian
christopher benjamin jonathan patricia veronica whatever whatever1 trustno1 blink182 metallica pass1234 pass12345
passpass pass@123 pass@word1 summer2024 summer2025 summer2026 winter2024 winter2025 winter2026 spring2025 spring2026
autumn2025 january1 february september november december1 monday123 friday123 chocolate cheesecake butterfly
rainbow1 hello123 hello1234 hellohello helloworld goodluck blessed1 jesus123 jesuschrist godisgood lovelove loveyou1
babygirl babygirl1 sweetheart mylove123 forever1 freedom1 liberty1 killer123 shadow12 shadow123 master12 master123
maverick phoenix1 scorpion midnight nightmare darkness whiskey1 corona2020 covid2019 bitcoin1 ethereum openai123
chatgpt123 sallyport sallyport1 sallyport123 gateway1 gateway123 trustme1 access14 access123 login123 loginlogin
qwerty!@# 1234qwer 4321rewq 147258369 159357456 741852963 789456123 963852741 135792468 246813579 31415926 27182818
`;

/** The list as a set. */
export const commonPasswords: ReadonlySet<string> = new Set(list.split(/\s+/).filter((word) => word !== ''));
