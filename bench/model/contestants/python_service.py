"""What tutorials build: a Hugging Face pipeline behind FastAPI, a password grant, and a thread pool of four.

The model is of GPT-2's shape with random weights, float32, unless --model names one; `npm run bench -- --only model
--scenarios python` starts it (docs/performance-model-server.md). Needs fastapi, uvicorn, python-multipart, pyjwt,
bcrypt, transformers and torch.
POST /token with username=bench and password=bench as a form answers an access token; with it POST /generate takes
{"prompt": …, "max_length": n} and answers a text of exactly n new model tokens, whole.
"""

import argparse
import asyncio
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel, Field
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, pipeline

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=8000)
parser.add_argument("--workers", type=int, default=4)
chosen = parser.add_mutually_exclusive_group(required=True)
chosen.add_argument("--model", help="a name or folder that transformers knows, such as gpt2")
chosen.add_argument("--vocabulary", help="folder of vocab.json and merges.txt; the weights are random")
arguments = parser.parse_args()

signing_key = secrets.token_urlsafe(48)
password_hashes = {"bench": bcrypt.hashpw(b"bench", bcrypt.gensalt())}
lifetime_seconds = 3600


def load_generator():
    if arguments.model is not None:
        return pipeline("text-generation", model=arguments.model)
    folder = arguments.vocabulary
    tokenizer = GPT2Tokenizer(vocab_file=f"{folder}/vocab.json", merges_file=f"{folder}/merges.txt")
    return pipeline("text-generation", model=GPT2LMHeadModel(GPT2Config()), tokenizer=tokenizer)


app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl="token")
pool = ThreadPoolExecutor(max_workers=arguments.workers)
generator = load_generator()


class GenerateRequest(BaseModel):
    prompt: str
    max_length: int = Field(default=50, ge=1, le=512)


def subject_of(access_token: str = Depends(bearer)) -> str:
    try:
        return jwt.decode(access_token, signing_key, algorithms=["HS256"])["sub"]
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(status_code=401, detail="invalid access token")


def complete(prompt: str, new_tokens: int) -> str:
    (answer,) = generator(
        prompt,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        do_sample=True,
        temperature=0.8,
        top_k=40,
        top_p=0.95,
        pad_token_id=generator.tokenizer.eos_token_id,
        return_full_text=False,
    )
    return answer["generated_text"]


@app.post("/token")
def issue(form: OAuth2PasswordRequestForm = Depends()) -> dict:
    password_hash = password_hashes.get(form.username)
    if password_hash is None or not bcrypt.checkpw(form.password.encode(), password_hash):
        raise HTTPException(status_code=401, detail="wrong name or password")
    claims = {"sub": form.username, "exp": int(time.time()) + lifetime_seconds}
    return {"access_token": jwt.encode(claims, signing_key, algorithm="HS256"), "token_type": "bearer"}


@app.post("/generate")
async def generate(request: GenerateRequest, subject: str = Depends(subject_of)) -> dict:
    loop = asyncio.get_running_loop()
    text = await loop.run_in_executor(pool, complete, request.prompt, request.max_length)
    return {"subject": subject, "text": text, "usage": {"completion_tokens": request.max_length}}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")
